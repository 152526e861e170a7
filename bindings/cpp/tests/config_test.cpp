// Settings: each by its name, and errors for invalid values.
#include "sim.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include <cstdlib>
#include <functional>
#include <set>

using clerk::Client;
using clerk::Config;
using namespace std::chrono_literals;

namespace {

// A value that the library rejects; for strings without a format, one that is too long.
const std::string endless(2 << 20, 'x');

struct Typed {
    std::string name;
    std::function<void(Config &)> good;
    std::function<void(Config &)> bad;
};

const std::vector<Typed> &typed() {
    static const std::vector<Typed> all{
        {"secret_key", [](Config &c) { c.secret_key("sk_test_x"); }, [](Config &c) { c.secret_key(endless); }},
        {"publishable_key", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k"); },
         [](Config &c) { c.publishable_key("pk"); }},
        {"jwt_key", [](Config &c) { c.jwt_key(""); }, [](Config &c) { c.jwt_key("no key"); }},
        {"machine_secret_key", [](Config &c) { c.machine_secret_key("ak_x"); },
         [](Config &c) { c.machine_secret_key(endless); }},
        {"jwks", [](Config &c) { c.jwks(""); }, [](Config &c) { c.jwks("{"); }},
        {"jwks_url", [](Config &c) { c.jwks_url("https://clerk.example.com/jwks"); },
         [](Config &c) { c.jwks_url("http://example.com"); }},
        {"api_url", [](Config &c) { c.api_url("https://api.example.com"); },
         [](Config &c) { c.api_url("http://example.com"); }},
        {"authorized_parties", [](Config &c) { c.authorized_parties({"https://a.example"}); },
         [](Config &c) { c.authorized_parties({""}); }},
        {"audience",
         [](Config &c) {
             c.audience({"a", "b,c"});
         },
         [](Config &c) { c.audience({""}); }},
        {"issuer", [](Config &c) { c.issuer({"https://clerk.example.com"}); }, [](Config &c) { c.issuer({""}); }},
        {"accepts_token",
         [](Config &c) {
             c.accepts_token({clerk::TokenKind::session_token, clerk::TokenKind::m2m_token});
         },
         [](Config &c) { c.accepts_token({}); }},
        {"clock_skew_ms", [](Config &c) { c.clock_skew_ms(2s); }, [](Config &c) { c.clock_skew_ms(-1ms); }},
        {"timeout_ms", [](Config &c) { c.timeout_ms(60s); }, [](Config &c) { c.timeout_ms(61s); }},
        {"cache_ttl_s", [](Config &c) { c.cache_ttl_s(24h); }, [](Config &c) { c.cache_ttl_s(25h); }},
        {"cache_capacity", [](Config &c) { c.cache_capacity(1); }, [](Config &c) { c.cache_capacity(0); }},
        {"user_ttl_s", [](Config &c) { c.user_ttl_s(1min); }, [](Config &c) { c.user_ttl_s(-1s); }},
        {"user_stale_if_error_s", [](Config &c) { c.user_stale_if_error_s(1min); }, [](Config &c) { c.user_stale_if_error_s(-1s); }},
        {"row_check_ttl_s", [](Config &c) { c.row_check_ttl_s(1h); }, [](Config &c) { c.row_check_ttl_s(2h); }},
        {"shared_cache", [](Config &c) { c.shared_cache("redis://127.0.0.1:1"); },
         [](Config &c) { c.shared_cache("redis:"); }},
        {"shared_cache_secret",
         [](Config &c) { c.shared_cache_secret({"0123456789abcdef0123456789abcdef"}); },
         [](Config &c) { c.shared_cache("redis://127.0.0.1:1").shared_cache_secret({"short"}); }},
        {"shared_cache_ca_pem", [](Config &c) { c.shared_cache_ca_pem(""); },
         [](Config &c) { c.shared_cache("rediss://127.0.0.1:1").shared_cache_ca_pem("no PEM"); }},
        {"shared_cache_required", [](Config &c) { c.shared_cache_required(false); },
         [](Config &c) { c.shared_cache_required(true); }},
        {"clerk_calls_per_s", [](Config &c) { c.clerk_calls_per_s(50); }, [](Config &c) { c.clerk_calls_per_s(-1); }},
        {"database", [](Config &c) { c.database(""); }, [](Config &c) { c.database("oracle://x"); }},
        {"user_mode", [](Config &c) { c.user_mode(clerk::UserMode::claims); },
         [](Config &c) { c.user_mode(clerk::UserMode::sync); }},
        {"link_by_email", [](Config &c) { c.link_by_email(clerk::LinkByEmail::never); }, nullptr},
        {"block_deactivated_email", [](Config &c) { c.block_deactivated_email(false); }, nullptr},
        {"deactivate_deleted_users", [](Config &c) { c.deactivate_deleted_users(false); },
         [](Config &c) { c.deactivate_deleted_users(true); }},
        {"ignore_cookies", [](Config &c) { c.ignore_cookies(true); },
         [](Config &c) { c.ignore_cookies(true).check_client_uat(true); }},
        {"treat_pending_as_signed_out", [](Config &c) { c.treat_pending_as_signed_out(false); }, nullptr},
        {"allow_bare_token", [](Config &c) { c.allow_bare_token(true); }, nullptr},
        {"check_client_uat", [](Config &c) { c.check_client_uat(true); }, nullptr},
        {"require_suffixed_cookie", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").require_suffixed_cookie(true); }, nullptr},
        {"csrf", [](Config &c) { c.csrf(clerk::Csrf::check); }, nullptr},
        {"authorized_parties_missing", [](Config &c) { c.authorized_parties_missing(clerk::AuthorizedPartiesMissing::accept); }, nullptr},
        {"handshake", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on); }, nullptr},
        {"public_origin", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).public_origin({"https://app.example.com"}); }, [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).public_origin({"https://app.example.com/"}); }},
        {"trust_forwarded", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).trust_forwarded(true); }, nullptr},
        {"proxy_url", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).proxy_url("/__clerk"); }, [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).proxy_url("//x"); }},
        {"domain", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).domain("app.example.com"); }, [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).domain("https://app.example.com"); }},
        {"is_satellite", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).domain("app.example.com").is_satellite(true); }, nullptr},
        {"sign_in_url", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).sign_in_url("https://app.example.com/sign-in"); }, [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).sign_in_url("sign-in"); }},
        {"satellite_auto_sync", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).satellite_auto_sync(true); }, nullptr},
        {"satellite_origins", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).satellite_origins({"https://other.example"}); }, [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).satellite_origins({"other.example"}); }},
        {"handshake_query", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).handshake_query(clerk::HandshakeQuery::always); }, nullptr},
        {"handshake_send_session", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).handshake_send_session(false); }, nullptr},
        {"refresh", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).refresh(true); }, nullptr},
        {"cross_origin_sync", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).cross_origin_sync(false); }, nullptr},
        {"organization_patterns", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).organization_patterns({"/orgs/:slug"}); }, nullptr},
        {"personal_account_patterns", [](Config &c) { c.publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").handshake(clerk::Handshake::on).personal_account_patterns({"/me"}); }, nullptr},
        {"machine_tokens_skip_user", [](Config &c) { c.machine_tokens_skip_user(true); }, nullptr},
        {"machine_cache_ttl_s", [](Config &c) { c.machine_cache_ttl_s(5min); },
         [](Config &c) { c.machine_cache_ttl_s(6min); }},
        {"expected_machine_id", [](Config &c) { c.expected_machine_id("mch_1"); },
         [](Config &c) { c.expected_machine_id(endless); }},
        {"session_check_ttl_s", [](Config &c) { c.session_check_ttl_s(1h); },
         [](Config &c) { c.session_check_ttl_s(2h); }},
        {"revocation_ttl_s", [](Config &c) { c.revocation_ttl_s(1h); }, [](Config &c) { c.revocation_ttl_s(-1s); }},
        {"ca_pem", [](Config &c) { c.ca_pem(""); }, [](Config &c) { c.ca_pem("no PEM"); }},
        {"proxy", [](Config &c) { c.proxy("http://127.0.0.1:1"); }, [](Config &c) { c.proxy("no address"); }},
        {"user_agent", [](Config &c) { c.user_agent("tests"); }, [](Config &c) { c.user_agent("a\nb"); }},
        {"webhook_secrets", [](Config &c) { c.webhook_secrets({"whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}); },
         [](Config &c) { c.webhook_secrets({"?"}); }},
        {"instance_id", [](Config &c) { c.instance_id("ins_1"); }, [](Config &c) { c.instance_id(endless); }},
    };
    return all;
}

Config usable() {
    Config config;
    config.secret_key("sk_test_simulated");
    return config;
}

} // namespace

TEST(Settings, EverySettingHasASetter) {
    std::vector<std::string> here, there;
    for (const Typed &setting : typed()) here.push_back(setting.name);
    clerk_setting info = CLERK_SETTING_INIT;
    for (std::size_t index = 0; clerk_setting_info(index, &info) == CLERK_OK; index++)
        there.emplace_back(info.name.data);
    std::sort(here.begin(), here.end());
    std::sort(there.begin(), there.end());
    EXPECT_EQ(here, there);
}

TEST(Settings, EverySetterSetsItsSetting) {
    for (const Typed &setting : typed()) {
        Config good = usable();
        setting.good(good);
        EXPECT_FALSE(good.error()) << setting.name << ": " << good.error()->what();
        EXPECT_TRUE(Client::make(good).has_value()) << setting.name;
        if (setting.bad == nullptr) continue;
        Config bad = usable();
        setting.bad(bad);
        const auto client = Client::make(bad);
        ASSERT_FALSE(client.has_value()) << setting.name;
        EXPECT_EQ(client.error().setting(), setting.name) << client.error().what();
        EXPECT_EQ(client.error().message().find("xxxx"), std::string_view::npos) << setting.name;
    }
}

TEST(Settings, EnumerationsHaveTheLibrarysNames) {
    // Every enumerator is a value that the library accepts.
    for (const auto mode : {clerk::UserMode::claims, clerk::UserMode::profile})
        EXPECT_TRUE(Client::make(usable().user_mode(mode)).has_value());
    for (const auto link : {clerk::LinkByEmail::never, clerk::LinkByEmail::verified})
        EXPECT_TRUE(Client::make(usable().link_by_email(link)).has_value());
    for (const bool on : {false, true}) {
        EXPECT_TRUE(Client::make(usable().treat_pending_as_signed_out(on)).has_value());
        EXPECT_TRUE(Client::make(usable().check_client_uat(on)).has_value());
    }
    EXPECT_TRUE(Client::make(
        usable().publishable_key("pk_live_Y2xlcmsuZXhhbXBsZS5jb20k").check_client_uat(true)).has_value());

    // The settings take effect.
    sim::reset();
    const std::string pending = sim::token({{"sts", "pending"}}), bare = sim::token({{"user", "user_1"}});
    EXPECT_EQ(ask(Client(sim::config()), pending), "out session-pending");
    EXPECT_EQ(ask(Client(sim::config().treat_pending_as_signed_out(false)), pending), "in verified");
    EXPECT_EQ(words(Client(sim::config()).authenticate(clerk::Request(bare))), "none session-token-missing");
    EXPECT_EQ(words(Client(sim::config().allow_bare_token(true)).authenticate(clerk::Request(bare))), "in verified");
}

TEST(Settings, FirstErrorIsStored) {
    Config config;
    EXPECT_FALSE(config.error());
    config.set("timeout_ms", "soon").set("nonsense", "x").cache_ttl_s(-1s).secret_key("sk_test_x");
    ASSERT_TRUE(config.error());
    EXPECT_EQ(config.error()->status(), clerk::Status::e_config);
    EXPECT_EQ(config.error()->setting(), "timeout_ms");
    try {
        const Client client(config);
        ADD_FAILURE() << "it was made";
    } catch (const clerk::Error &error) {
        EXPECT_EQ(error.setting(), "timeout_ms");
        EXPECT_EQ(error.what(), error.message());
    }
}

TEST(Settings, EveryErrorNamesTheSetting) {
    const auto wrong = [](Config &config) { return Client::make(config).error(); };
    EXPECT_EQ(wrong(Config().set("tiemout_ms", "1")).status(), clerk::Status::e_config);
    EXPECT_NE(wrong(Config().set("tiemout_ms", "1")).message().find("tiemout_ms"), std::string_view::npos);
    EXPECT_EQ(wrong(Config().set("audience", "\xff")).setting(), "audience");
    EXPECT_EQ(wrong(Config().set("audience", "\xff")).status(), clerk::Status::e_utf8);
    EXPECT_EQ(wrong(usable().user_columns({})).setting(), "user_columns");
    EXPECT_EQ(wrong(usable().user_column_length(clerk::Column::username, 3)).setting(), "user_column_length");
    EXPECT_EQ(wrong(usable().user_column_length(clerk::Column::is_active, 3)).status(), clerk::Status::e_argument);
    EXPECT_EQ(wrong(usable().sqlite_path("/nonexistent/users.db")).status(), clerk::Status::e_config);
    EXPECT_EQ(Config::sqlite_backup("/nonexistent/users.db", "/nonexistent/copy.db")->status(), clerk::Status::e_config);
    Config moved = usable();
    const Config elsewhere = std::move(moved);
    EXPECT_EQ(wrong(moved.timeout_ms(1s)).status(), clerk::Status::e_null); // NOLINT: use after move
}

TEST(Settings, SettingsAreReadFromTheEnvironment) {
    setenv("CLERK_TIMEOUT_MS", "0", 1);
    const auto client = Client::make(usable().from_env());
    unsetenv("CLERK_TIMEOUT_MS");
    ASSERT_FALSE(client.has_value());
    EXPECT_EQ(client.error().setting(), "timeout_ms");
    EXPECT_NE(client.error().message().find("CLERK_TIMEOUT_MS"), std::string_view::npos);
}

TEST(Settings, ListSetterReplacesTheList) {
    sim::reset();
    const std::string token = sim::token({{"aud", "b,c"}});
    EXPECT_EQ(ask(Client(sim::config().audience({"a", "b,c"})), token), "in verified");
    const std::vector<std::string> parties{"https://a.example", "b,c"};
    EXPECT_EQ(ask(Client(sim::config().audience(parties)), token), "in verified");
    EXPECT_FALSE((std::is_convertible_v<std::string, clerk::List>));
    EXPECT_EQ(ask(Client(sim::config().audience({"b,c"}).audience({"a"})), token), "out token-invalid-audience");
    EXPECT_EQ(ask(Client(sim::config().audience({"a"}).add("audience", "b,c")), token), "in verified");
    EXPECT_EQ(ask(Client(sim::config().audience({"a"}).audience({})), token), "in verified");
}

TEST(Expected, ValueOfAnErrorThrowsIt) {
    const auto client = Client::make(Config().timeout_ms(-1s));
    ASSERT_FALSE(client.has_value());
    EXPECT_THROW(static_cast<void>(client.value()), clerk::Error);
    EXPECT_THROW(static_cast<void>(client->is_open()), clerk::Error);
    EXPECT_THROW(static_cast<void>(*client), clerk::Error);
    const auto good = Client::make(usable());
    ASSERT_TRUE(good.has_value());
    EXPECT_DEATH(static_cast<void>(good.error()), "");
    const clerk::Error first = client.error();
    clerk::Error second = first;
    const clerk::Error third = std::move(second);
    EXPECT_STREQ(first.what(), third.what());
    EXPECT_STREQ(first.what(), second.what()); // NOLINT: errors are only ever copied
}
