// The fake Clerk API, and helpers that create clients of it.
#ifndef SIM_HPP
#define SIM_HPP

#include <clerk_auth.hpp>
#include <nlohmann/json.hpp>

#include <string>

namespace sim {

using Json = nlohmann::json;

// One for all tests; runs until the tests end.
const std::string &url();
const std::string &https_url();
// The certificate authority for HTTPS, as PEM.
std::string ca();

// One call of the admin API; throws for every status but 200.
Json admin(const std::string &method, const std::string &path, const Json &body = nullptr);

// Up, without faults, with the first key, all counts at 0.
void reset();
void down(bool is_down);
// A session token, from a specification such as {{"user", "user_1"}}.
std::string token(const Json &specification);
// The number of requests since the last reset: "/jwks", "/users/{id}", …
int64_t count(const std::string &pattern);
// Ada Lovelace, with a verified address.
void put_ada();

// Settings for the fake Clerk API: its URL and a secret key.
clerk::Config config();

} // namespace sim

// The value of an `Authorization` line; a request has only views of it.
inline std::string bearer(const std::string &token) { return "Bearer " + token; }

// How it ended: "in verified", "in cache", "out <reason>", "none <reason>" or "unavailable <reason>".
std::string words(const clerk::Result &result);
std::string ask(const clerk::Client &client, const std::string &token);
// The same from memory, or "would block".
std::string ask_cached(const clerk::Client &client, const std::string &token);

// An environment variable that test.sh sets.
std::string from_test_sh(const char *name);

#endif
