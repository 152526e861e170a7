// clerk-auth for C++17: who is calling? The README beside this header has a ten-line use.
//
// - Everything is a thin, header-only layer over the C functions of <clerk_auth.h>; link libclerk_auth.
// - Functions throw clerk::Error; each has a twin `try_…` that is noexcept and returns a clerk::Expected. With
//   -fno-exceptions only the twins are there.
// - Hooks may throw: the exception stops at the C library's door and comes back as Error::cause.
// - Running out of memory is not survived where `noexcept` stands, as in the core.
#ifndef CLERK_AUTH_HPP
#define CLERK_AUTH_HPP

#include "clerk_auth/client.hpp"

#endif
