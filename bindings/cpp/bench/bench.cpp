// Compares this binding with the C functions and with cpp-jwt, on one token in one run.
//
//     clerk_auth_bench TOKEN     with the public key in CLERK_JWT_KEY; bench.sh sets both
//
// The candidates are interleaved, round by round, so that other load on the machine affects all of them.
#include <clerk_auth.hpp>

#include <jwt/jwt.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds = 61;
constexpr double most_overhead = 1.05;

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
    const auto begin = Clock::now();
    if (!way.run(way.calls)) {
        std::fprintf(stderr, "%s: wrong result\n", way.name);
        std::exit(2);
    }
    const std::chrono::duration<double, std::nano> took = Clock::now() - begin;
    way.ns.push_back(took.count() / way.calls);
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
        good = result && *result && result->user_id() && good;
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
        good = result && result.user_id() && good;
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
    if (argc < 2 || pem == nullptr) {
        std::fprintf(stderr, "usage: CLERK_JWT_KEY=... clerk_auth_bench TOKEN\n");
        return 2;
    }
    const std::string token = argv[1], line = "Bearer " + token, key = pem;
    const clerk::Client client(clerk::Config().jwt_key(key));
    const clerk::Client forgetful(clerk::Config().jwt_key(key).cache_ttl_s(std::chrono::seconds(0)));
    if (!client.authenticate(clerk::Request(line))) return 2;
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
    };
    for (int round = 0; round < rounds; round++) {
        // The order rotates, so that no contender always finds warm CPU caches.
        for (std::size_t i = 0; i < ways.size(); i++) measure(ways[round % 2 == 0 ? i : ways.size() - 1 - i]);
    }

    std::printf("a token of %zu bytes, medians of %d rounds\n", token.size(), rounds);
    for (const Way &way : ways) std::printf("%-54s %10.0f ns\n", way.name, median(way.ns));
    bool is_good = true;
    for (std::size_t i = 0; i + 1 < ways.size(); i += 2) {
        std::vector<double> ratios;
        for (int round = 0; round < rounds; round++) {
            const auto at = static_cast<std::size_t>(round);
            ratios.push_back(ways[i + 1].ns[at] / ways[i].ns[at]);
        }
        const double ratio = median(ratios);
        std::printf("C++ / C, %-45s %10.3f\n", ways[i].name, ratio);
        is_good = is_good && ratio <= most_overhead;
    }
    if (!is_good) std::printf("FAIL: more than %.2f\n", most_overhead);
    return is_good ? 0 : 1;
}
