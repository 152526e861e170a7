// Compares this binding with SHA-256 of the token, the C functions and cpp-jwt, on one token in one run.
//
//     clerk_auth_bench TOKEN     with the public key in CLERK_JWT_KEY and the library of benches/anchor in CLERK_ANCHOR;
//                                bench.sh sets them
//
// The candidates are interleaved, round by round, in CPU time of the thread, so that other load on the machine affects all
// of them.
#include <clerk_auth.hpp>

#include <jwt/jwt.hpp>

#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using Sha256 = void (*)(const std::uint8_t *, std::size_t, std::uint8_t *);

double cpu_ns() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

constexpr int rounds = 61;
constexpr double most_overhead = 1.05;
// A cached result, as a multiple of SHA-256 of the token.
constexpr double target = 1.15, gate = 1.25;

struct Way {
    const char *name;
    int calls;
    std::function<bool(int)> run; // so many calls; false if one of them did not end as it should
    std::vector<double> ns;
};

double median(std::vector<double> all) {
    std::sort(all.begin(), all.end());
    return all[all.size() / 2];
}

void measure(Way &way) {
    const double begin = cpu_ns();
    if (!way.run(way.calls)) {
        std::fprintf(stderr, "%s: wrong result\n", way.name);
        std::exit(2);
    }
    way.ns.push_back((cpu_ns() - begin) / way.calls);
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

bool sha256(Sha256 function, const std::string &token, int calls) {
    std::uint8_t hash[32] = {};
    for (int i = 0; i < calls; i++)
        function(reinterpret_cast<const std::uint8_t *>(token.data()), token.size(), hash);
    return hash[0] != 0 || hash[1] != 0;
}

} // namespace

int main(int argc, char **argv) {
    const char *pem = std::getenv("CLERK_JWT_KEY");
    const char *anchor = std::getenv("CLERK_ANCHOR"), *slack = std::getenv("SLACK");
    if (argc < 2 || pem == nullptr || anchor == nullptr) {
        std::fprintf(stderr, "usage: CLERK_JWT_KEY=... CLERK_ANCHOR=... clerk_auth_bench TOKEN\n");
        return 2;
    }
    void *library = dlopen(anchor, RTLD_NOW | RTLD_LOCAL);
    const auto hash = library == nullptr ? nullptr : reinterpret_cast<Sha256>(dlsym(library, "anchor_sha256"));
    if (hash == nullptr) {
        std::fprintf(stderr, "%s: %s\n", anchor, dlerror());
        return 2;
    }
    const std::string token = argv[1], line = "Bearer " + token, key = pem;
    const clerk::Client client(clerk::Config().jwt_key(key));
    const clerk::Client forgetful(clerk::Config().jwt_key(key).cache_ttl_s(std::chrono::seconds(0)));
    if (!client.authenticate(clerk::Request(line)).signed_in()) return 2;
    // A candidate that accepts everything would be fast.
    const std::string forged = token.substr(0, token.size() - 4) + "AAAA", forged_line = "Bearer " + forged;
    if (cpp_jwt(forged, key, 1) || cpp_full(client, forged_line, 1) || c_full(client.native(), forged_line, 1))
        return 2;

    std::vector<Way> ways{
        {"cached, C", 4000, [&](int calls) { return c_cached(client.native(), line, calls); }, {}},
        {"cached, C++", 4000, [&](int calls) { return cpp_cached(client, line, calls); }, {}},
        {"cached, C, clerk_authenticate",
         4000,
         [&](int calls) { return c_full(client.native(), line, calls); },
         {}},
        {"cached, C++, authenticate", 4000, [&](int calls) { return cpp_full(client, line, calls); }, {}},
        {"verified, C", 80, [&](int calls) { return c_full(forgetful.native(), line, calls); }, {}},
        {"verified, C++", 80, [&](int calls) { return cpp_full(forgetful, line, calls); }, {}},
        {"verified, cpp-jwt (Debian, OpenSSL), as it is used",
         80,
         [&](int calls) { return cpp_jwt(token, key, calls); },
         {}},
        {"SHA-256 of the token", 4000, [&](int calls) { return sha256(hash, token, calls); }, {}},
    };
    for (int round = 0; round < rounds; round++) {
        // The order rotates, so that no contender always finds warm CPU caches.
        for (std::size_t i = 0; i < ways.size(); i++) measure(ways[round % 2 == 0 ? i : ways.size() - 1 - i]);
    }

    std::printf("a token of %zu bytes, medians of %d rounds\n", token.size(), rounds);
    for (const Way &way : ways) std::printf("%-54s %10.0f ns\n", way.name, median(way.ns));
    bool is_good = true;
    const auto ratio = [&](std::size_t ours, std::size_t limit) {
        std::vector<double> ratios;
        for (std::size_t at = 0; at < rounds; at++) ratios.push_back(ways[ours].ns[at] / ways[limit].ns[at]);
        return median(ratios);
    };
    for (std::size_t i = 0; i < 6; i += 2) {
        const double overhead = ratio(i + 1, i);
        std::printf("C++ / C, %-45s %10.3f\n", ways[i].name, overhead);
        is_good = is_good && overhead <= most_overhead;
    }
    if (!is_good) std::printf("FAIL: more than %.2f\n", most_overhead);
    const double hit = std::max(ratio(1, 7), ratio(3, 7));
    const bool passes = hit <= gate * (1 + (slack == nullptr ? 0 : std::atof(slack)));
    std::printf("%-52s %9.2f ×    ≤ %.2f    ≤ %.2f  %s\n", "cached hit from C++ / SHA-256 of the token", hit, target, gate,
                !passes ? "FAIL" : hit <= target ? "pass, target met" : "pass");
    return is_good && passes ? 0 : 1;
}
