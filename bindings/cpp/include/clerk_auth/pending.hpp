// What waits for the host's user table, step by step, for hosts whose database calls are asynchronous.
#ifndef CLERK_AUTH_PENDING_HPP
#define CLERK_AUTH_PENDING_HPP

#include "delivery.hpp"
#include "result.hpp"
#include "user_store.hpp"

CLERK_AUTH_NAMESPACE_BEGIN

// The steps of an authentication or of a webhook delivery:
//
//     while (!pending.done())
//         if (pending.wants() == StepKind::fetch) pending.fetch();     // waits for Clerk: on a thread that may
//         else ...;                                                    // ask the table about pending.step(),
//     Result result = pending.finish();                                // then pending.answer(reply)
//
// May move from thread to thread; one at a time. Given up (destroyed) in the middle, nobody is signed in. Keeps its
// client alive.
class Steps {
public:
    StepKind wants() const noexcept { return static_cast<StepKind>(clerk_pending_next_action(handle_.get())); }
    bool done() const noexcept { return wants() == StepKind::done; }

    // What the table is asked. Lives until the answer.
    Step step() const noexcept { return Step(clerk_pending_request(handle_.get())); }
    // To be filled at leisure, then given to `answer`.
    Reply reply() noexcept {
        Reply reply(clerk_pending_response(handle_.get()), notes_.get());
        reply.is_write_ = wants() == StepKind::create || wants() == StepKind::update;
        return reply;
    }

    // Never waits.
    Expected<void> try_answer(const Reply &reply) noexcept {
        if (notes_ == nullptr) return is_over();
        const detail::CallScope scope(*notes_);
        return done_with(clerk_pending_submit(handle_.get(), reply.verdict()));
    }
    // Has the store answer, on this thread.
    Expected<void> try_answer(UserStore &store) noexcept {
        if (notes_ == nullptr) return is_over();
        Reply filled = reply();
        auto ask = [&store](const Step &step, Reply &reply) { store.answer(step, reply); };
        answer_step(ask, clerk_pending_request(handle_.get()), filled);
        return try_answer(filled);
    }
    // Waits for Clerk, within `timeout_ms`, when StepKind::fetch is wanted.
    Expected<void> try_fetch() noexcept {
        if (notes_ == nullptr) return is_over();
        const detail::CallScope scope(*notes_);
        return done_with(clerk_pending_fetch(handle_.get()));
    }

#if CLERK_AUTH_EXCEPTIONS
    void answer(const Reply &reply) { try_answer(reply).value(); }
    void answer(UserStore &store) { try_answer(store).value(); }
    // The table failed: the exception becomes Error::cause.
    void answer(const std::exception_ptr &thrown) {
        Reply failed = reply();
        failed.fail(thrown);
        answer(failed);
    }
    void fetch() { try_fetch().value(); }
#endif

protected:
    Steps() noexcept = default;
    Steps(clerk_pending *pending, std::unique_ptr<detail::Notes> notes) noexcept
        : notes_(std::move(notes)), handle_(pending) {}
    Steps(Steps &&) noexcept = default;
    Steps &operator=(Steps &&) noexcept = default;
    ~Steps() = default;

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

    static Error is_over() { return detail::error_in_words(CLERK_E_STATE, "it is over: nothing is wanted any more"); }
    static Expected<void> done_with(int32_t status) {
        if (status != CLERK_OK) return detail::error_of(status, nullptr);
        return {};
    }

    std::unique_ptr<detail::Notes> notes_;
    std::unique_ptr<clerk_pending, Free> handle_;
};

// An authentication that waits for the host's user table.
class [[nodiscard]] Pending : public Steps {
public:
    // Ends it. One that still wants something ends as Outcome::unavailable.
    Expected<Result> try_finish() noexcept {
        return finish_once(result_, [](clerk_pending *pending, detail::Notes &notes) {
            clerk_result *result = nullptr;
            clerk_error *error = nullptr;
            const int32_t status = clerk_pending_finish(pending, &result, &error);
            return conclude(status, result, error, notes);
        });
    }
#if CLERK_AUTH_EXCEPTIONS
    Result finish() { return try_finish().value(); }
#endif

private:
    friend class Client;
    using Steps::Steps;
    explicit Pending(Result result) noexcept : result_(std::move(result)) {}

    std::optional<Result> result_;
};

// A webhook delivery that waits for the host's user table.
class [[nodiscard]] PendingDelivery : public Steps {
public:
    // Ends it. One that still wants something ends as Delivery::Outcome::unavailable.
    Expected<Delivery> try_finish() noexcept {
        return finish_once(delivery_, [](clerk_pending *pending, detail::Notes &notes) {
            clerk_error *error = nullptr;
            const int32_t status = clerk_pending_finish(pending, nullptr, &error);
            return conclude_delivery(status, error, notes);
        });
    }
#if CLERK_AUTH_EXCEPTIONS
    Delivery finish() { return try_finish().value(); }
#endif

private:
    friend class Client;
    using Steps::Steps;
    explicit PendingDelivery(Delivery delivery) noexcept : delivery_(std::move(delivery)) {}

    std::optional<Delivery> delivery_;
};

CLERK_AUTH_NAMESPACE_END

#endif
