#include "sim.hpp"

#include "process.hpp"

#include <httplib.h>

#include <cstdlib>
#include <mutex>
#include <stdexcept>

namespace sim {
namespace {

struct Running {
    Process process{{from_test_sh("CLERK_SIM"), "serve", "--https", "--exit-with-stdin"}};
    Json ready = Json::parse(process.line());
    std::string url = ready.at("url");
    std::string https_url = ready.at("https_url");
    httplib::Client admin{ready.at("admin_url").get<std::string>()};
    std::mutex mutex;
};

Running &running() {
    static Running running;
    return running;
}

} // namespace

const std::string &url() { return running().url; }
const std::string &https_url() { return running().https_url; }
std::string ca() { return admin("GET", "/ca").at("pem"); }

Json admin(const std::string &method, const std::string &path, const Json &body) {
    Running &own = running();
    const std::lock_guard lock(own.mutex);
    httplib::Request request;
    request.method = method;
    request.path = path;
    if (!body.is_null()) request.body = body.dump();
    const httplib::Result answer = own.admin.send(request);
    if (!answer || answer->status != 200)
        throw std::runtime_error(method + " " + path + ": " +
                                 (answer ? answer->body : httplib::to_string(answer.error())));
    return answer->body.empty() ? Json() : Json::parse(answer->body);
}

void reset() {
    down(false);
    admin("DELETE", "/faults");
    admin("PUT", "/state",
          {{"jwks", {"k1"}},
           {"signing_key", "k1"},
           {"secret_keys", {"*"}},
           {"users", Json::object()},
           {"sessions", Json::object()}});
    admin("DELETE", "/counts");
}

void down(bool is_down) { admin("PUT", "/down", {{"down", is_down}}); }

std::string token(const Json &specification) { return admin("POST", "/mint", specification).at("token"); }

int64_t count(const std::string &pattern) { return admin("GET", "/counts").at("by_path").value(pattern, int64_t{0}); }

void put_ada() {
    admin("PUT", "/users/user_ada",
          {{"username", "ada"},
           {"first_name", "Ada"},
           {"last_name", nullptr},
           {"email_addresses", {"ada@example.com"}},
           {"primary_email_address_id", "idn_0001"},
           {"last_active_at", 1700000000123}});
}

clerk::Config config() {
    clerk::Config config;
    // Each request sees the row as it is.
    config.api_url(url()).secret_key("sk_test_simulated").row_check_ttl_s(std::chrono::seconds(0));
    return config;
}

} // namespace sim

std::string words(const clerk::Result &result) {
    const std::string reason(result.reason_name());
    switch (result.outcome()) {
    case clerk::Outcome::signed_in:
        return "in " + std::string(clerk::name(result.source().value()));
    case clerk::Outcome::signed_out:
        return "out " + reason;
    case clerk::Outcome::no_credentials:
        return "none " + reason;
    case clerk::Outcome::unavailable:
        break;
    }
    return "unavailable " + reason;
}

std::string ask(const clerk::Client &client, const std::string &token) {
    const std::string line = bearer(token);
    return words(client.authenticate(clerk::Request(line)));
}

std::string ask_cached(const clerk::Client &client, const std::string &token) {
    const std::string line = bearer(token);
    const auto result = client.authenticate_cached(clerk::Request(line));
    return result.has_value() ? words(*result) : "would block";
}

std::string from_test_sh(const char *name) {
    const char *value = std::getenv(name);
    if (value == nullptr || *value == '\0') throw std::runtime_error(std::string(name) + " is not set: run test.sh");
    return value;
}
