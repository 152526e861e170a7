// The host's own user table: what is asked of it, and how it answers.
#ifndef CLERK_AUTH_USER_STORE_HPP
#define CLERK_AUTH_USER_STORE_HPP

#include "callbacks.hpp"

#include <stdexcept>

CLERK_AUTH_NAMESPACE_BEGIN

// A unique column already holds such a value: throw it from `create` or `update`, or call StoreResponse::conflict.
class Conflict : public std::exception {
public:
    const char *what() const noexcept override { return "a unique column already holds such a value"; }
};

// A failure with a number of the host's own, which comes back in Error::store_code. Other exceptions have -1 there.
class StoreError : public std::runtime_error {
public:
    StoreError(int32_t code, const std::string &message) : std::runtime_error(message), code_(code) {}
    int32_t code() const noexcept { return code_; }

private:
    int32_t code_;
};

// What is to be written. The outer optional says whether a column is to be written at all, the inner one whether it is
// to be something or NULL: `if (auto email = columns.email()) row.email = *email;`
class RowChanges {
public:
    template <class T>
    using Nullable = std::optional<std::optional<T>>;

    explicit RowChanges(const clerk_store_request *step) noexcept : step_(step) {}

    std::optional<std::string_view> clerk_id() const noexcept { return flat(Column::clerk_id); }
    Nullable<std::string_view> email() const noexcept { return text(Column::email); }
    std::optional<std::string_view> username() const noexcept { return flat(Column::username); }
    std::optional<std::string_view> first_name() const noexcept { return flat(Column::first_name); }
    std::optional<std::string_view> last_name() const noexcept { return flat(Column::last_name); }
    Nullable<std::string_view> image_url() const noexcept { return text(Column::image_url); }
    std::optional<bool> is_active() const noexcept { return yes_or_no(Column::is_active); }
    std::optional<bool> banned_by_clerk() const noexcept { return yes_or_no(Column::banned_by_clerk); }

    Nullable<Time> last_active_at() const noexcept {
        const Nullable<int64_t> ms = number(Column::last_active_at_ms);
        if (!ms) return std::nullopt;
        return *ms ? std::optional<Time>(Time(Milliseconds(**ms))) : std::optional<Time>();
    }

    // Any text column by its name, for tables that are written by a loop.
    Nullable<std::string_view> text(Column column) const noexcept {
        clerk_str value{nullptr, 0};
        if (clerk_store_request_string_column(step_, detail::number(column), &value) != 1) return std::nullopt;
        return detail::from_c(value);
    }

    Nullable<int64_t> number(Column column) const noexcept {
        int64_t value = 0;
        const int32_t wanted = clerk_store_request_int_column(step_, detail::number(column), &value);
        if (wanted != 1 && wanted != 2) return std::nullopt;
        return wanted == 1 ? std::optional<int64_t>(value) : std::optional<int64_t>();
    }

private:
    std::optional<std::string_view> flat(Column column) const noexcept {
        const Nullable<std::string_view> written = text(column);
        if (!written) return std::nullopt;
        return written->value_or(std::string_view());
    }

    std::optional<bool> yes_or_no(Column column) const noexcept {
        const Nullable<int64_t> written = number(column);
        if (!written) return std::nullopt;
        return written->value_or(0) == 1;
    }

    const clerk_store_request *step_;
};

// A question to the table. Lives during the hook's call, or until the pending authentication goes on; so do its views.
class StoreRequest {
public:
    explicit StoreRequest(const clerk_store_request *step) noexcept : step_(step) {}

    StoreRequestKind kind() const noexcept { return static_cast<StoreRequestKind>(clerk_store_request_get_kind(step_)); }
    // The Clerk id, the address or the name that is asked about.
    std::optional<std::string_view> text() const noexcept { return detail::from_c(clerk_store_request_value(step_)); }
    // The key of the row that is asked about.
    std::optional<std::string_view> key() const noexcept { return detail::from_c(clerk_store_request_key(step_)); }
    RowChanges columns() const noexcept { return RowChanges(step_); }

private:
    const clerk_store_request *step_;
};

// The answer to a step. Everything is copied. A text that the library refuses makes the whole answer a failure. There
// is one answer: it can be moved, not copied, and what is left behind is a failure.
class StoreResponse {
public:
    // A row of the answer; columns that are NULL need not be set. It is active unless `is_active` says otherwise.
    class Row {
    public:
        Row &clerk_id(std::optional<std::string_view> value) { return text(Column::clerk_id, value); }
        Row &email(std::optional<std::string_view> value) { return text(Column::email, value); }
        Row &username(std::optional<std::string_view> value) { return text(Column::username, value); }
        Row &first_name(std::optional<std::string_view> value) { return text(Column::first_name, value); }
        Row &last_name(std::optional<std::string_view> value) { return text(Column::last_name, value); }
        Row &image_url(std::optional<std::string_view> value) { return text(Column::image_url, value); }
        Row &is_active(bool value) { return number(Column::is_active, value ? 1 : 0); }
        Row &banned_by_clerk(bool value) { return number(Column::banned_by_clerk, value ? 1 : 0); }
        Row &last_active_at(std::optional<std::chrono::system_clock::time_point> value) {
            if (!value) return *this;
            const auto since = std::chrono::floor<Milliseconds>(*value).time_since_epoch();
            return number(Column::last_active_at_ms, since.count());
        }

        Row &text(Column column, std::optional<std::string_view> value) {
            reply_->note(clerk_store_response_set_string_column(reply_->reply_, detail::number(column), detail::to_c(value)));
            return *this;
        }
        Row &number(Column column, int64_t value) {
            reply_->note(clerk_store_response_set_int_column(reply_->reply_, detail::number(column), value));
            return *this;
        }

    private:
        friend class StoreResponse;
        explicit Row(StoreResponse *reply) noexcept : reply_(reply) {}

        StoreResponse *reply_;
    };

    StoreResponse(clerk_store_response *reply, detail::CallState *notes) noexcept : reply_(reply), notes_(notes) {}
    StoreResponse(StoreResponse &&other) noexcept
        : reply_(std::exchange(other.reply_, nullptr)), notes_(std::exchange(other.notes_, nullptr)),
          status_(std::exchange(other.status_, -1)), has_failed_(std::exchange(other.has_failed_, true)),
          is_write_(other.is_write_) {}

    // For the `find_` steps: begins a row with the host's own key for it. No row: there is none. For `create` and
    // `update`: the whole row as it is now, where the table may have made another of it: `is_active(false)` keeps its
    // user out.
    Row row(std::string_view key) noexcept {
        note(clerk_store_response_add_row(reply_, detail::to_c(key)));
        return Row(this);
    }
    // The same with the host's own object for it, which comes out of Result::local_user.
    template <class T>
    Row row(std::string_view key, std::shared_ptr<T> object) {
        keep(key, std::move(object));
        return row(key);
    }

    // For `username_taken`.
    void taken(bool is_taken) noexcept { note(clerk_store_response_set_username_taken(reply_, is_taken ? 1 : 0)); }

    // For `create`: the new row's key, when the row is what was asked for.
    void created(std::string_view key) noexcept { note(clerk_store_response_set_created_key(reply_, detail::to_c(key))); }
    template <class T>
    void created(std::string_view key, std::shared_ptr<T> object) {
        keep(key, std::move(object));
        created(key);
    }

    // For `create` and `update`: a unique column already holds such a value. The row is looked for again.
    void conflict() noexcept { status_ = CLERK_STORE_CONFLICT; }

    // For `begin`, `commit` and `rollback`: there is nothing to do.
    void decline() noexcept { status_ = CLERK_STORE_DECLINE; }

    // The table failed: nobody is signed in. The words come back in Error::message, the code in Error::store_code; codes
    // are negative there (positive ones are negated, 0 becomes -1).
    void fail(int32_t code, std::string_view message) noexcept {
        status_ = code < 0 ? code : code > 0 ? -code : -1;
        has_failed_ = true;
        static_cast<void>(clerk_store_response_set_error(reply_, detail::to_c(message)));
    }

#if CLERK_AUTH_EXCEPTIONS
    // The same with an exception, which becomes the Error::cause; a Conflict is a conflict.
    void fail(const std::exception_ptr &thrown) noexcept {
        try {
            if (thrown == nullptr) return fail(-1, "the user store failed");
            std::rethrow_exception(thrown);
        } catch (const Conflict &conflicting) {
            if (is_write_) return conflict();
            fail(-1, conflicting.what());
        } catch (const StoreError &failure) {
            fail(failure.code(), failure.what());
        } catch (const std::exception &failure) {
            fail(-1, failure.what());
        } catch (...) {
            fail(-1, "the user store threw something that is no std::exception");
        }
        if (notes_ != nullptr && !notes_->store) notes_->store = thrown;
    }
#endif

    // What a C hook returns.
    int32_t status() const noexcept { return status_; }

private:
    friend class UserStore;
    friend class PendingBase;
    template <class Function>
    friend int32_t run_store(Function &function, const clerk_store_request *step, StoreResponse &reply) noexcept;

    void note(int32_t status) noexcept {
        if (status == CLERK_OK || has_failed_) return;
        fail(status, status == CLERK_E_UTF8
                         ? "the user store's reply is not UTF-8"
                         : "the user store's reply was refused: an empty key, a text that is too long or "
                           "holds a NUL, a column of another type, or too many rows");
    }

    template <class T>
    void keep(std::string_view key, std::shared_ptr<T> object) {
        if (notes_ == nullptr || object == nullptr) return;
        notes_->rows.push_back({std::string(key), std::move(object), &detail::type_tag<T>});
    }

    clerk_store_response *reply_;
    detail::CallState *notes_;
    int32_t status_ = CLERK_STORE_OK;
    bool has_failed_ = false;
    bool is_write_ = false;
};

// Runs a store's function on a step; whatever it throws becomes the reply's failure. Returns what a C hook returns.
template <class Function>
int32_t run_store(Function &function, const clerk_store_request *step, StoreResponse &reply) noexcept {
    const StoreRequest question(step);
    reply.is_write_ = question.kind() == StoreRequestKind::create || question.kind() == StoreRequestKind::update;
#if CLERK_AUTH_EXCEPTIONS
    try {
        function(question, reply);
    } catch (...) {
        reply.fail(std::current_exception());
    }
#else
    function(question, reply);
#endif
    return reply.status();
}

// The host's user table. Called on all threads that authenticate, several at once; two calls may ask about one user at
// the same time. Throw to fail (the exception becomes Error::cause), or call StoreResponse::fail.
class UserStore {
public:
    virtual ~UserStore() = default;

    // The row with this key; StoreResponse::row, or nothing.
    virtual void find_by_key(std::string_view key, StoreResponse &reply) = 0;
    // The row of the Clerk user, compared exactly; as above.
    virtual void find_by_clerk_id(std::string_view clerk_id, StoreResponse &reply) = 0;
    // All rows with the address, compared without case; two are enough.
    virtual void find_by_email(std::string_view email, StoreResponse &reply) = 0;
    // Whether another row than `except_key` has the unique name, compared without case; StoreResponse::taken.
    virtual void username_taken(std::string_view username, std::optional<std::string_view> except_key,
                                StoreResponse &reply) = 0;
    // A new row; StoreResponse::created, or StoreResponse::row.
    virtual void create(const RowChanges &columns, StoreResponse &reply) = 0;
    // A change of the row, these columns only; nothing, or StoreResponse::row.
    virtual void update(std::string_view key, const RowChanges &columns, StoreResponse &reply) = 0;

    // Around `create` and `update`; not for authentications that are driven step by step.
    virtual void begin(StoreResponse &reply) { reply.decline(); }
    virtual void commit(StoreResponse &reply) { reply.decline(); }
    virtual void rollback(StoreResponse &reply) { reply.decline(); }

    // Has the one of them answer that is asked.
    void answer(const StoreRequest &step, StoreResponse &reply) {
        const std::string_view key = step.key().value_or(std::string_view());
        const std::string_view text = step.text().value_or(std::string_view());
        switch (step.kind()) {
        case StoreRequestKind::find_by_key:
            return find_by_key(key, reply);
        case StoreRequestKind::find_by_clerk_id:
            return find_by_clerk_id(text, reply);
        case StoreRequestKind::find_by_email:
            return find_by_email(text, reply);
        case StoreRequestKind::username_taken:
            return username_taken(text, step.key(), reply);
        case StoreRequestKind::create:
            return create(step.columns(), reply);
        case StoreRequestKind::update:
            return update(key, step.columns(), reply);
        case StoreRequestKind::begin:
            return begin(reply);
        case StoreRequestKind::commit:
            return commit(reply);
        case StoreRequestKind::rollback:
            return rollback(reply);
        case StoreRequestKind::done:
        case StoreRequestKind::fetch_user:
            break;
        }
        reply.fail(-1, "a step that this program does not know");
    }

protected:
    UserStore() = default;
    UserStore(const UserStore &) = default;
    UserStore &operator=(const UserStore &) = default;
};

CLERK_AUTH_NAMESPACE_END

#endif
