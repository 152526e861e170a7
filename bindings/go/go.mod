module github.com/clerk-auth/clerk-auth/bindings/go

go 1.22
