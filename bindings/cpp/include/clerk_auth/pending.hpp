// Stepwise authentication and webhook processing, for applications whose database calls are asynchronous.
#ifndef CLERK_AUTH_PENDING_HPP
#define CLERK_AUTH_PENDING_HPP

#include "webhook.hpp"
#include "result.hpp"
#include "user_store.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// An operation that waits for the application's user table:
//
//     while (!pending.done())
//         if (pending.next_action() == StoreRequestKind::fetch_user)
//             pending.fetch();              // blocks: waits for Clerk
//         else
//             ...;                          // execute pending.request(), then pending.submit(response)
//     Result result = pending.finish();
//
// May move between threads; use it from one at a time. Destroying it abandons the operation. It keeps its client alive.
class PendingBase {
public:
    StoreRequestKind next_action() const noexcept { return static_cast<StoreRequestKind>(clerk_pending_next_action(handle_.get())); }
    bool done() const noexcept { return next_action() == StoreRequestKind::done; }

    // Returns the request to execute. Valid until `submit`.
    StoreRequest request() const noexcept { return StoreRequest(clerk_pending_request(handle_.get())); }
    // Returns the response to fill and pass to `submit`.
    StoreResponse response() noexcept {
        StoreResponse response(clerk_pending_response(handle_.get()), state_.get());
        response.is_write_ = next_action() == StoreRequestKind::create || next_action() == StoreRequestKind::update;
        return response;
    }

    // Submits the response. Never blocks.
    Expected<void> try_submit(const StoreResponse &response) noexcept {
        if (state_ == nullptr) return finished_error();
        const detail::CallScope scope(*state_);
        return done_with(clerk_pending_submit(handle_.get(), response.status()));
    }
    // Executes the request with `store` on this thread and submits its response.
    Expected<void> try_submit(UserStore &store) noexcept {
        if (state_ == nullptr) return finished_error();
        StoreResponse filled = response();
        auto execute = [&store](const StoreRequest &request, StoreResponse &response) { store.execute(request, response); };
        run_store(execute, clerk_pending_request(handle_.get()), filled);
        return try_submit(filled);
    }
    // Fetches the user from Clerk, within `timeout_ms`, when the next action is StoreRequestKind::fetch_user.
    Expected<void> try_fetch() noexcept {
        if (state_ == nullptr) return finished_error();
        const detail::CallScope scope(*state_);
        return done_with(clerk_pending_fetch(handle_.get()));
    }

#if CLERK_AUTH_EXCEPTIONS
    void submit(const StoreResponse &response) { try_submit(response).value(); }
    void submit(UserStore &store) { try_submit(store).value(); }
    // Submits a failure. The exception becomes Error::cause.
    void submit(const std::exception_ptr &thrown) {
        StoreResponse failed = response();
        failed.fail(thrown);
        submit(failed);
    }
    void fetch() { try_fetch().value(); }
#endif

protected:
    PendingBase() noexcept = default;
    PendingBase(clerk_pending *pending, std::unique_ptr<detail::CallState> state) noexcept
        : state_(std::move(state)), handle_(pending) {}
    PendingBase(PendingBase &&) noexcept = default;
    PendingBase &operator=(PendingBase &&) noexcept = default;
    ~PendingBase() = default;

    // Returns the stored value, or the value of `end`; once.
    template <class Value, class End>
    Expected<Value> finish_once(std::optional<Value> &concluded, End &&end) noexcept {
        if (concluded) {
            Expected<Value> value(std::move(*concluded));
            concluded.reset();
            return value;
        }
        if (state_ == nullptr || handle_ == nullptr) return finished_error();
        const detail::CallScope scope(*state_);
        return end(handle_.release(), *state_);
    }

private:
    struct Free {
        void operator()(clerk_pending *pending) const noexcept { clerk_pending_free(pending); }
    };

    static Error finished_error() { return detail::make_error(CLERK_E_STATE, "no action is pending"); }
    static Expected<void> done_with(int32_t status) {
        if (status != CLERK_OK) return detail::take_error(status, nullptr);
        return {};
    }

    std::unique_ptr<detail::CallState> state_;
    std::unique_ptr<clerk_pending, Free> handle_;
};

// A pending authentication.
class [[nodiscard]] PendingAuth : public PendingBase {
public:
    // Returns the result. With actions left, it is Outcome::unavailable.
    Expected<Result> try_finish() noexcept {
        return finish_once(result_, [](clerk_pending *pending, detail::CallState &state) {
            clerk_result *result = nullptr;
            clerk_error *error = nullptr;
            const int32_t status = clerk_pending_finish(pending, &result, &error);
            return make_result(status, result, error, state);
        });
    }
#if CLERK_AUTH_EXCEPTIONS
    Result finish() { return try_finish().value(); }
#endif

private:
    friend class Client;
    using PendingBase::PendingBase;
    explicit PendingAuth(Result result) noexcept : result_(std::move(result)) {}

    std::optional<Result> result_;
};

// A pending webhook delivery.
class [[nodiscard]] PendingWebhook : public PendingBase {
public:
    // Returns the result. With actions left, it is WebhookResult::Outcome::unavailable.
    Expected<WebhookResult> try_finish() noexcept {
        return finish_once(result_, [](clerk_pending *pending, detail::CallState &state) {
            clerk_error *error = nullptr;
            const int32_t status = clerk_pending_finish(pending, nullptr, &error);
            return make_webhook_result(status, error, state);
        });
    }
#if CLERK_AUTH_EXCEPTIONS
    WebhookResult finish() { return try_finish().value(); }
#endif

private:
    friend class Client;
    using PendingBase::PendingBase;
    explicit PendingWebhook(WebhookResult delivery) noexcept : result_(std::move(delivery)) {}

    std::optional<WebhookResult> result_;
};

CLERK_AUTH_NAMESPACE_END

#endif
