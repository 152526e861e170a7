// The recorded cases, prepared by `corpus-replay share`: each has the verdict of the C functions.
#include "sim.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <set>

namespace {

using sim::Json;

using Now = std::shared_ptr<std::atomic<clerk::Time>>;

clerk::Expected<clerk::Client> client_of(const Json &test, Now now) {
    clerk::Config config;
    config.on_clock([now] { return now->load(); });
    for (const Json &setting : test.at("settings")) {
        const std::string how = setting[0], name = setting[1];
        if (how == "int") {
            config.set_int(name, setting[2].get<int64_t>());
            continue;
        }
        std::string value = setting[2];
        if (value == "{api_url}") value = sim::url();
        how == "add" ? config.add(name, value) : config.set(name, value);
    }
    return clerk::Client::make(config);
}

clerk::Result authenticate(const clerk::Client &client, const Json &request) {
    const std::vector<std::pair<std::string, std::string>> headers = request.at("headers");
    const std::string method = request.at("method");
    return client.authenticate(clerk::Request(headers, method));
}

Json text(std::optional<std::string_view> view) { return view ? Json(*view) : Json(nullptr); }

Json verdict_of(const clerk::Result &result) {
    const bool in = result.signed_in();
    return {
        {"status", in ? "signed_in" : "signed_out"},
        {"reason", in ? Json(nullptr) : Json(result.reason_name())},
        {"user_id", text(result.user_id())},
        {"session_id", text(result.session_id())},
        {"org_id", text(result.org_id())},
        {"org_role", text(result.org_role())},
        {"org_permissions", result.get(clerk::Attribute::org_permissions) ? Json(result.org_permissions()) : Json(nullptr)},
    };
}

Json play(const Json &test) {
    sim::admin("PUT", "/state", test.at("state"));
    const Now now =
        std::make_shared<std::atomic<clerk::Time>>(clerk::Time(clerk::Milliseconds(test.at("now_ms").get<int64_t>())));
    const auto client = client_of(test, now);
    if (!client.has_value()) return {{"status", "signed_out"}, {"refused", client.error().setting().value_or("")}};
    for (const Json &step : test.at("prelude")) {
        if (step.contains("request")) static_cast<void>(authenticate(*client, step.at("request")));
        if (step.contains("state")) sim::admin("PUT", "/state", step.at("state"));
        if (step.contains("advance_ms")) *now = now->load() + clerk::Milliseconds(step.at("advance_ms").get<int64_t>());
    }
    return verdict_of(authenticate(*client, test.at("request")));
}

} // namespace

TEST(Corpus, EveryCaseHasTheVerdictOfTheCFunctions) {
    sim::down(false);
    std::ifstream cases(from_test_sh("CLERK_CASES"));
    ASSERT_TRUE(cases);
    std::set<std::string> categories;
    int played = 0;
    for (std::string line; std::getline(cases, line);) {
        const Json test = Json::parse(line);
        categories.insert(test.at("category").get<std::string>());
        EXPECT_EQ(play(test), test.at("verdict")) << test.at("id");
        played++;
    }
    EXPECT_GE(played, 200);
    const std::set<std::string> wanted{"alg",           "aud",         "azp",     "claims", "cookies",  "header-params",
                                       "header-scheme", "jwks-errors", "jwt-key", "kid",    "machine",  "malformed",
                                       "precedence",    "rotation",    "size",    "time",   "valid-v1", "valid-v2"};
    EXPECT_EQ(categories, wanted);
    RecordProperty("played", played);
    std::cout << "corpus: " << played << " cases of " << categories.size() << " categories\n";
}
