// Compares this binding with its limits, the C functions, and the JWT libraries of Debian, in one run: SHA-256 of the
// token for a cached result, RSA by aws-lc for a verification.
//
//     clerk_auth_bench TOKEN OTHER_TOKEN
//
// with the public key in CLERK_JWT_KEY and the library of benches/anchor in CLERK_ANCHOR; bench.sh sets them.
// CLERK_BENCH_POINTS is a file that each result is appended to.
//
// The candidates are interleaved, round by round, in CPU time of the thread, so that other load on the machine affects all
// of them.
#include <clerk_auth.hpp>

#include <jwt/jwt.hpp>

#include "peers.h"

#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using NewAnchor = const void *(*)(const char *, std::size_t, const char *, std::size_t);
using Repeat = void (*)(const void *, std::uint64_t);

double cpu_ns() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

constexpr int rounds = 61;
constexpr double most_overhead = 1.05;
// A cached result, as a multiple of SHA-256 of the token.
constexpr double target = 1.15, gate = 1.25;

enum Kind { warm, cold };
const char *const kinds[] = {"warm", "cold"};

struct Way {
    Kind kind;
    const char *name;
    const char *point; // its name in the table of all languages, or null
    std::function<bool(int)> run; // so many calls; false if one of them did not end as it should
    std::vector<double> ns;

    int calls() const { return kind == warm ? 2000 : 60; }
};

double median(std::vector<double> all) {
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

void measure(Way &way) {
    const double begin = cpu_ns();
    if (!way.run(way.calls())) {
        std::fprintf(stderr, "%s: wrong result\n", way.name);
        std::exit(2);
    }
    way.ns.push_back((cpu_ns() - begin) / way.calls());
}

bool c_cached(const clerk_client *client, const std::string &line, int calls) {
    bool good = true;
    for (int i = 0; i < calls; i++) {
        clerk_request request = CLERK_REQUEST_INIT;
        request.authorization = clerk_str{line.data(), line.size()};
        clerk_result *result = nullptr;
        good = clerk_authenticate_cached(client, &request, &result) == CLERK_OK &&
               clerk_result_user_id(result).len > 0 && good;
        clerk_result_free(result);
    }
    return good;
}

bool cpp_cached(const clerk::Client &client, const std::string &line, int calls) {
    bool good = true;
    for (int i = 0; i < calls; i++) {
        const clerk::Cached<clerk::Result> result = client.authenticate_cached(clerk::Request(line));
        good = result.has_value() && result.value().signed_in() && result.value().user_id().has_value() && good;
    }
    return good;
}

bool c_full(const clerk_client *client, const std::string &line, int calls) {
    bool good = true;
    for (int i = 0; i < calls; i++) {
        clerk_request request = CLERK_REQUEST_INIT;
        request.authorization = clerk_str{line.data(), line.size()};
        clerk_result *result = nullptr;
        clerk_error *error = nullptr;
        good = clerk_authenticate(client, &request, &result, &error) == CLERK_OK &&
               clerk_result_user_id(result).len > 0 && good;
        clerk_result_free(result);
        clerk_error_free(error);
    }
    return good;
}

bool cpp_full(const clerk::Client &client, const std::string &line, int calls) {
    bool good = true;
    for (int i = 0; i < calls; i++) {
        const clerk::Result result = client.authenticate(clerk::Request(line));
        good = result.signed_in() && result.user_id().has_value() && good;
    }
    return good;
}

// As in its README, without a cache.
bool cpp_jwt(const std::string &token, const std::string &pem, int calls) {
    using namespace jwt::params;
    bool good = true;
    for (int i = 0; i < calls; i++) {
        std::error_code error;
        const auto object = jwt::decode(token, algorithms({"RS256"}), error, secret(pem), verify(true));
        good = !error && !object.payload().get_claim_value<std::string>("sub").empty() && good;
    }
    return good;
}

} // namespace

int main(int argc, char **argv) {
    const char *pem = std::getenv("CLERK_JWT_KEY");
    const char *path = std::getenv("CLERK_ANCHOR"), *slack = std::getenv("SLACK");
    if (argc < 3 || pem == nullptr || path == nullptr) {
        std::fprintf(stderr, "usage: CLERK_JWT_KEY=... CLERK_ANCHOR=... clerk_auth_bench TOKEN OTHER_TOKEN\n");
        return 2;
    }
    const std::string token = argv[1], line = "Bearer " + token, key = pem;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    const auto new_anchor = reinterpret_cast<NewAnchor>(dlsym(library, "anchor_new"));
    const auto sha256 = reinterpret_cast<Repeat>(dlsym(library, "anchor_sha256"));
    const auto rs256 = reinterpret_cast<Repeat>(dlsym(library, "anchor_rs256"));
    const void *anchor = new_anchor(key.data(), key.size(), token.data(), token.size());
    if (anchor == nullptr) return 2;
    const clerk::Client client(clerk::Config().jwt_key(key));
    const clerk::Client forgetful(clerk::Config().jwt_key(key).cache_ttl_s(std::chrono::seconds(0)));
    // Both have one cache: what the first one stores there must not be another one's result.
    const std::string other = argv[2];
    const liboauth2 *caching = liboauth2_new(pem, ""), *uncached = liboauth2_new(pem, "expiry=0");
    if (caching == nullptr || uncached == nullptr || !client.authenticate(clerk::Request(line)).signed_in()) return 2;
    // A candidate that accepts everything would be fast.
    const std::string forged = token.substr(0, token.size() - 4) + "AAAA", forged_line = "Bearer " + forged;
    if (cpp_jwt(forged, key, 1) || cpp_full(client, forged_line, 1) || c_full(client.native(), forged_line, 1) ||
        libjwt_verifies(forged.c_str(), pem, 1) || liboauth2_verifies(caching, forged.c_str(), 1))
        return 2;

    std::vector<Way> ways{
        {warm, "SHA-256 of the token", nullptr, [&](int calls) { return sha256(anchor, calls), true; }, {}},
        {cold, "RSA-2048 by aws-lc", nullptr, [&](int calls) { return rs256(anchor, calls), true; }, {}},
        {warm, "cached, C", nullptr, [&](int calls) { return c_cached(client.native(), line, calls); }, {}},
        {warm, "cached, C++", nullptr, [&](int calls) { return cpp_cached(client, line, calls); }, {}},
        {warm, "cached, C, clerk_authenticate", nullptr, [&](int calls) { return c_full(client.native(), line, calls); }, {}},
        {warm, "cached, C++, authenticate", "clerk-auth (C++)", [&](int calls) { return cpp_full(client, line, calls); }, {}},
        {cold, "verified, C", nullptr, [&](int calls) { return c_full(forgetful.native(), line, calls); }, {}},
        {cold, "verified, C++", "clerk-auth (C++)", [&](int calls) { return cpp_full(forgetful, line, calls); }, {}},
        {cold, "verified, cpp-jwt", "cpp-jwt, key from PEM each time (C++)",
         [&](int calls) { return cpp_jwt(token, key, calls); }, {}},
        {cold, "verified, libjwt", "libjwt, key from PEM each time (C)",
         [&](int calls) { return libjwt_verifies(token.c_str(), pem, calls); }, {}},
        {cold, "verified, liboauth2", "liboauth2 (C)", [&](int calls) { return liboauth2_verifies(uncached, token.c_str(), calls); }, {}},
        {warm, "cached, liboauth2", "liboauth2 (C)", [&](int calls) { return liboauth2_verifies(caching, other.c_str(), calls); }, {}},
    };
    for (int round = 0; round < rounds; round++) {
        // The start rotates, so that no contender always runs behind the same one.
        for (std::size_t i = 0; i < ways.size(); i++) measure(ways[(static_cast<std::size_t>(round) + i) % ways.size()]);
    }

    const auto ratio = [&](std::size_t ours, std::size_t limit) {
        std::vector<double> ratios;
        for (std::size_t at = 0; at < rounds; at++) ratios.push_back(ways[ours].ns[at] / ways[limit].ns[at]);
        return median(ratios);
    };
    std::ofstream points;
    if (const char *file = std::getenv("CLERK_BENCH_POINTS")) points.open(file, std::ios::app);
    std::printf("a token of %zu bytes, medians of %d rounds\n", token.size(), rounds);
    for (std::size_t i = 0; i < ways.size(); i++) {
        const Way &way = ways[i];
        const double ns = median(way.ns), limits = ratio(i, way.kind);
        std::printf("%-54s %10.0f ns %8.2f × %s\n", way.name, ns, limits, way.kind == warm ? "SHA-256" : "RSA");
        if (way.point != nullptr) points << kinds[way.kind] << '\t' << way.point << '\t' << ns << '\t' << limits << '\n';
    }
    bool is_good = true;
    for (std::size_t i = 2; i < 8; i += 2) {
        const double overhead = ratio(i + 1, i);
        std::printf("C++ / C, %-45s %10.3f\n", ways[i].name, overhead);
        is_good = is_good && overhead <= most_overhead;
    }
    if (!is_good) std::printf("FAIL: more than %.2f\n", most_overhead);
    const double hit = std::max(ratio(3, 0), ratio(5, 0));
    const bool passes = hit <= gate * (1 + (slack == nullptr ? 0 : std::atof(slack)));
    std::printf("%-52s %9.2f ×    ≤ %.2f    ≤ %.2f  %s\n", "cached hit from C++ / SHA-256 of the token", hit, target, gate,
                !passes ? "FAIL" : hit <= target ? "pass, target met" : "pass");
    return is_good && passes ? 0 : 1;
}
