// httplib_server - a server on cpp-httplib whose users sign in with Clerk.
//
//     export CLERK_SECRET_KEY=sk_test_...
//     httplib_server 8080
//
//     GET  /           public; greets the user if signed in
//     GET  /me         signed in only: the row of the application's table
//     GET  /invoices   requires the permission org:invoices:read in the active organization
//     POST /webhooks   Clerk's webhooks, with CLERK_WEBHOOK_SIGNING_SECRET set
//
// One thread per request; it may wait for Clerk. Exits when standard input ends.
#include "accounts.hpp"

#include <httplib.h>

#include <clerk_auth/httplib.hpp>

#include <cstdlib>
#include <iostream>
#include <thread>

namespace {

clerk::Client make_client() {
    clerk::Config config;
    config.from_env();
    Accounts::attach(config, std::make_shared<Accounts>());
    config.on_event([](const clerk::Event &event) {
        if (event.kind() == clerk::EventKind::user_created)
            std::clog << "a new user: " + std::string(event.clerk_id().value_or("")) + "\n";
    });
    return clerk::Client(config);
}

void route(httplib::Server &server, const clerk::Client &client) {
    server.Get("/", [client](const httplib::Request &request, httplib::Response &response) {
        const clerk::Result result = client.authenticate({request.headers, request.method});
        const std::string name = result.signed_in() ? std::string(result.user_id().value_or("machine")) : "anonymous";
        response.set_content("Hello, " + name + "\n", "text/plain");
    });

    server.Get("/me", clerk::require_auth(client, [](const auto &, auto &response, const clerk::Result &result) {
                   const auto account = result.local_user<Account>();
                   response.set_content("account " + std::string(result.user_key().value_or("?")) + ": " +
                                            (account ? account->login + ", " + account->plan : "") + "\n",
                                        "text/plain");
               }));

    server.Get("/invoices", clerk::require_auth(client, [](const auto &, auto &response, const clerk::Result &result) {
                   if (!result.has_permission("org:invoices:read")) return clerk::reject(result, response);
                   response.set_content("the invoices of " + std::string(result.org_id().value_or("?")) + "\n",
                                        "text/plain");
               }));

    server.Post("/webhooks", [client](const httplib::Request &request, httplib::Response &response) {
        response.status = client.handle_webhook(request.headers, request.body).http_status();
    });

    server.set_exception_handler([](const httplib::Request &, httplib::Response &response, std::exception_ptr thrown) {
        response.status = 500;
        try {
            std::rethrow_exception(thrown);
        } catch (const std::exception &error) {
            std::clog << std::string(error.what()) + "\n";
        }
    });
}

} // namespace

int main(int argc, char **argv) {
    try {
        const clerk::Client client = make_client();
        httplib::Server server;
        route(server, client);
        int port = argc > 1 ? std::atoi(argv[1]) : 0;
        if (port == 0)
            port = server.bind_to_any_port("127.0.0.1");
        else if (!server.bind_to_port("127.0.0.1", port))
            port = -1;
        if (port < 0) throw std::runtime_error("the port is taken");
        std::cout << "http://127.0.0.1:" << port << std::endl;

        std::thread listening([&] { server.listen_after_bind(); });
        while (std::cin.get() != EOF) {
        }
        client.shutdown();
        server.stop();
        listening.join();
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "httplib_server: " << error.what() << '\n';
        return 1;
    }
}
