// What waits for the host's user table, step by step, for hosts whose database calls are asynchronous.
#ifndef CLERK_AUTH_PENDING_HPP
#define CLERK_AUTH_PENDING_HPP

#include "webhook.hpp"
#include "result.hpp"
#include "user_store.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// The steps of an authentication or of a webhook delivery:
//
//     while (!pending.done())
//         if (pending.next_action() == StoreRequestKind::fetch_user) pending.fetch();     // waits for Clerk: on a thread that may
//         else ...;                                                    // ask the table about pending.request(),
//     Result result = pending.finish();                                // then pending.submit(reply)
//
// May move from thread to thread; one at a time. Given up (destroyed) in the middle, nobody is signed in. Keeps its
// client alive.
class PendingBase {
public:
    StoreRequestKind next_action() const noexcept { return static_cast<StoreRequestKind>(clerk_pending_next_action(handle_.get())); }
    bool done() const noexcept { return next_action() == StoreRequestKind::done; }

    // What the table is asked. Lives until the answer.
    StoreRequest request() const noexcept { return StoreRequest(clerk_pending_request(handle_.get())); }
    // To be filled at leisure, then given to `answer`.
    StoreResponse response() noexcept {
        StoreResponse reply(clerk_pending_response(handle_.get()), notes_.get());
        reply.is_write_ = next_action() == StoreRequestKind::create || next_action() == StoreRequestKind::update;
        return reply;
    }

    // Never waits.
    Expected<void> try_submit(const StoreResponse &reply) noexcept {
        if (notes_ == nullptr) return is_over();
        const detail::CallScope scope(*notes_);
        return done_with(clerk_pending_submit(handle_.get(), reply.status()));
    }
    // Has the store answer, on this thread.
    Expected<void> try_submit(UserStore &store) noexcept {
        if (notes_ == nullptr) return is_over();
        StoreResponse filled = response();
        auto ask = [&store](const StoreRequest &step, StoreResponse &reply) { store.answer(step, reply); };
        run_store(ask, clerk_pending_request(handle_.get()), filled);
        return try_submit(filled);
    }
    // Waits for Clerk, within `timeout_ms`, when StoreRequestKind::fetch_user is wanted.
    Expected<void> try_fetch() noexcept {
        if (notes_ == nullptr) return is_over();
        const detail::CallScope scope(*notes_);
        return done_with(clerk_pending_fetch(handle_.get()));
    }

#if CLERK_AUTH_EXCEPTIONS
    void submit(const StoreResponse &reply) { try_submit(reply).value(); }
    void submit(UserStore &store) { try_submit(store).value(); }
    // The table failed: the exception becomes Error::cause.
    void submit(const std::exception_ptr &thrown) {
        StoreResponse failed = response();
        failed.fail(thrown);
        submit(failed);
    }
    void fetch() { try_fetch().value(); }
#endif

protected:
    PendingBase() noexcept = default;
    PendingBase(clerk_pending *pending, std::unique_ptr<detail::CallState> notes) noexcept
        : notes_(std::move(notes)), handle_(pending) {}
    PendingBase(PendingBase &&) noexcept = default;
    PendingBase &operator=(PendingBase &&) noexcept = default;
    ~PendingBase() = default;

    // What was concluded before anything was wanted, or what `end` makes of the rest; once.
    template <class Value, class End>
    Expected<Value> finish_once(std::optional<Value> &concluded, End &&end) noexcept {
        if (concluded) {
            Expected<Value> value(std::move(*concluded));
            concluded.reset();
            return value;
        }
        if (notes_ == nullptr || handle_ == nullptr) return is_over();
        const detail::CallScope scope(*notes_);
        return end(handle_.release(), *notes_);
    }

private:
    struct Free {
        void operator()(clerk_pending *pending) const noexcept { clerk_pending_free(pending); }
    };

    static Error is_over() { return detail::make_error(CLERK_E_STATE, "it is over: nothing is wanted any more"); }
    static Expected<void> done_with(int32_t status) {
        if (status != CLERK_OK) return detail::take_error(status, nullptr);
        return {};
    }

    std::unique_ptr<detail::CallState> notes_;
    std::unique_ptr<clerk_pending, Free> handle_;
};

// An authentication that waits for the host's user table.
class [[nodiscard]] PendingAuth : public PendingBase {
public:
    // Ends it. One that still wants something ends as Outcome::unavailable.
    Expected<Result> try_finish() noexcept {
        return finish_once(result_, [](clerk_pending *pending, detail::CallState &notes) {
            clerk_result *result = nullptr;
            clerk_error *error = nullptr;
            const int32_t status = clerk_pending_finish(pending, &result, &error);
            return make_result(status, result, error, notes);
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

// A webhook delivery that waits for the host's user table.
class [[nodiscard]] PendingWebhook : public PendingBase {
public:
    // Ends it. One that still wants something ends as WebhookResult::Outcome::unavailable.
    Expected<WebhookResult> try_finish() noexcept {
        return finish_once(result_, [](clerk_pending *pending, detail::CallState &notes) {
            clerk_error *error = nullptr;
            const int32_t status = clerk_pending_finish(pending, nullptr, &error);
            return make_webhook_result(status, error, notes);
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
