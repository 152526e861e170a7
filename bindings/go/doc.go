// Package clerkauth verifies Clerk tokens and authenticates the requests of an HTTP server.
//
// A [Client] extracts the session token from a request, verifies it, keeps the user's row in the application's own table
// up to date ([UserStore]), caches the result and emits events. It wraps the C library of clerk-auth.
//
//	client, err := clerkauth.New(clerkauth.Config{FromEnv: true})
//	...
//	mux.Handle("/account", client.RequireAuth(account))
//
// In a handler, [FromContext] returns the [Auth] of the request. Without the middleware, [Client.Authenticate] returns it:
// the error is nil if and only if the request is signed in, and the Auth is nil whenever the error is not.
//
// The package needs cgo and Linux.
package clerkauth
