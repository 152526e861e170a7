module github.com/clerk-auth/clerk-auth/bindings/go/bench

go 1.22

require (
	github.com/clerk-auth/clerk-auth/bindings/go v0.0.0
	github.com/clerk/clerk-sdk-go/v2 v2.4.2
	github.com/golang-jwt/jwt/v5 v5.3.1
)

require (
	github.com/go-jose/go-jose/v3 v3.0.4 // indirect
	golang.org/x/crypto v0.19.0 // indirect
)

replace github.com/clerk-auth/clerk-auth/bindings/go => ../
