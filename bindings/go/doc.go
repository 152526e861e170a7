// Package clerkauth tells who is calling a server whose users sign in with Clerk.
//
// A [Client] finds the session token in a request, verifies it, keeps the caller's row in the server's own user table in
// step with Clerk ([UserStore]), remembers the answer, and says what happened. It wraps the C library of clerk-auth.
//
//	client, err := clerkauth.New(clerkauth.Config{FromEnv: true})
//	mux.Handle("/account", client.RequireAuth(account))
//
// [Client.Authenticate] returns an error unless somebody is signed in, and no [Auth] with an error: whoever ignores the
// error has nobody.
package clerkauth
