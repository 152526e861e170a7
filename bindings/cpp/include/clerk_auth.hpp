// clerk-auth for C++17: verifies Clerk tokens. README.md has a quick start.
//
// - A header-only layer over the C functions of <clerk_auth.h>; link libclerk_auth.
// - Functions throw clerk::Error. Each has a noexcept variant `try_…` that returns a clerk::Expected. With
//   -fno-exceptions only the `try_…` variants exist.
// - Callbacks may throw. The exception does not cross the C library; Error::cause returns it.
// - A failed allocation inside a noexcept function ends the process.
#ifndef CLERK_AUTH_HPP
#define CLERK_AUTH_HPP

#include "clerk_auth/client.hpp"
#include "clerk_auth/poller.hpp"

#endif
