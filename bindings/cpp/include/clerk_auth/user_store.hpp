// The application's user table.
#ifndef CLERK_AUTH_USER_STORE_HPP
#define CLERK_AUTH_USER_STORE_HPP

#include "callbacks.hpp"

#include <stdexcept>

CLERK_AUTH_NAMESPACE_BEGIN

// A unique constraint was violated, or no row fulfils the condition of an update. Throw it from `create` or `update`, or call StoreResponse::conflict.
class Conflict : public std::exception {
public:
    const char *what() const noexcept override { return "unique constraint violated, or the row has changed"; }
};

// A failure with a code of the application, returned by Error::store_code. Other exceptions give -1.
class StoreError : public std::runtime_error {
public:
    StoreError(int32_t code, const std::string &message) : std::runtime_error(message), code_(code) {}
    int32_t code() const noexcept { return code_; }

private:
    int32_t code_;
};

// Columns to write. The outer optional is empty for a column to leave unchanged, the inner one for NULL:
// `if (auto email = changes.email()) row.email = *email;`
class RowChanges {
public:
    template <class T>
    using Nullable = std::optional<std::optional<T>>;

    explicit RowChanges(const clerk_store_request *request) noexcept : request_(request) {}

    std::optional<std::string_view> clerk_id() const noexcept { return flat(Column::clerk_id); }
    Nullable<std::string_view> email() const noexcept { return text(Column::email); }
    std::optional<std::string_view> username() const noexcept { return flat(Column::username); }
    std::optional<std::string_view> first_name() const noexcept { return flat(Column::first_name); }
    std::optional<std::string_view> last_name() const noexcept { return flat(Column::last_name); }
    Nullable<std::string_view> image_url() const noexcept { return text(Column::image_url); }
    std::optional<bool> is_active() const noexcept { return yes_or_no(Column::is_active); }
    std::optional<bool> banned_by_clerk() const noexcept { return yes_or_no(Column::banned_by_clerk); }
    // Returns the version of the Clerk user that the row is written from.
    std::optional<int64_t> clerk_updated_at_ms() const noexcept {
        const Nullable<int64_t> written = number(Column::clerk_updated_at_ms);
        return written ? *written : std::nullopt;
    }

    Nullable<Time> last_active_at() const noexcept {
        const Nullable<int64_t> ms = number(Column::last_active_at_ms);
        if (!ms) return std::nullopt;
        return *ms ? std::optional<Time>(Time(Milliseconds(**ms))) : std::optional<Time>();
    }

    // Returns a string column by name, for tables that are written in a loop.
    Nullable<std::string_view> text(Column column) const noexcept {
        clerk_str value{nullptr, 0};
        if (clerk_store_request_string_column(request_, detail::number(column), &value) != 1) return std::nullopt;
        return detail::from_c(value);
    }

    Nullable<int64_t> number(Column column) const noexcept {
        int64_t value = 0;
        const int32_t wanted = clerk_store_request_int_column(request_, detail::number(column), &value);
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

    const clerk_store_request *request_;
};

// The condition that a row must meet to be updated, as part of the statement that updates. Other processes may have changed it since it was read.
struct UpdateCondition {
    // The Clerk id of the row must be NULL.
    bool only_if_unlinked = false;
    // The version of the row must be NULL or at most this. Empty for a table without Column::clerk_updated_at_ms.
    std::optional<int64_t> max_version;
    // The row must be active: one that the application has deactivated meanwhile is not marked as banned.
    bool only_if_active = false;
    // The row must be inactive because of a ban: one that the application has deactivated meanwhile stays so.
    bool only_if_banned = false;

    // Returns whether a row fulfils the condition.
    bool allows(bool is_linked, std::optional<int64_t> version, bool is_active, bool banned_by_clerk) const noexcept {
        return !(only_if_unlinked && is_linked) && !(max_version && version && *version > *max_version) &&
               !(only_if_active && !is_active) && !(only_if_banned && (is_active || !banned_by_clerk));
    }
    // The same for a table without is_active, for which there is no condition about it.
    bool allows(bool is_linked, std::optional<int64_t> version) const noexcept {
        return allows(is_linked, version, !only_if_banned, true);
    }
};

// A request to the user table. It and its string views are valid during the callback, or until the response is submitted.
class StoreRequest {
public:
    explicit StoreRequest(const clerk_store_request *request) noexcept : request_(request) {}

    StoreRequestKind kind() const noexcept { return static_cast<StoreRequestKind>(clerk_store_request_get_kind(request_)); }
    // Returns the Clerk id, e-mail address or username to look up.
    std::optional<std::string_view> value() const noexcept { return detail::from_c(clerk_store_request_value(request_)); }
    // Returns the key of the row.
    std::optional<std::string_view> key() const noexcept { return detail::from_c(clerk_store_request_key(request_)); }
    RowChanges columns() const noexcept { return RowChanges(request_); }
    // Returns the condition of an update.
    UpdateCondition condition() const noexcept {
        UpdateCondition condition;
        int64_t version = 0;
        condition.only_if_unlinked = clerk_store_request_only_if_unlinked(request_) == 1;
        condition.only_if_active = clerk_store_request_only_if_active(request_) == 1;
        condition.only_if_banned = clerk_store_request_only_if_banned(request_) == 1;
        if (clerk_store_request_max_version(request_, &version) == 1) condition.max_version = version;
        return condition;
    }

private:
    const clerk_store_request *request_;
};

// The response to a request. Values are copied. A value that the library rejects makes the whole response a failure.
// Movable, not copyable; a moved-from response is a failure.
class StoreResponse {
public:
    // A row of the response. NULL columns need not be set. Active unless `is_active(false)` is called.
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
        Row &clerk_updated_at_ms(std::optional<int64_t> value) {
            return value ? number(Column::clerk_updated_at_ms, *value) : *this;
        }
        Row &last_active_at(std::optional<std::chrono::system_clock::time_point> value) {
            if (!value) return *this;
            const auto since = std::chrono::floor<Milliseconds>(*value).time_since_epoch();
            return number(Column::last_active_at_ms, since.count());
        }

        Row &text(Column column, std::optional<std::string_view> value) {
            response_->note(clerk_store_response_set_string_column(response_->response_, detail::number(column), detail::to_c(value)));
            return *this;
        }
        Row &number(Column column, int64_t value) {
            response_->note(clerk_store_response_set_int_column(response_->response_, detail::number(column), value));
            return *this;
        }

    private:
        friend class StoreResponse;
        explicit Row(StoreResponse *response) noexcept : response_(response) {}

        StoreResponse *response_;
    };

    StoreResponse(clerk_store_response *response, detail::CallState *state) noexcept : response_(response), state_(state) {}
    StoreResponse(StoreResponse &&other) noexcept
        : response_(std::exchange(other.response_, nullptr)), state_(std::exchange(other.state_, nullptr)),
          status_(std::exchange(other.status_, -1)), has_failed_(std::exchange(other.has_failed_, true)),
          is_write_(other.is_write_) {}

    // Adds a row with the application's key. For `find_…`: each row found; none means not found. For `create` and `update`: the
    // row as stored, where the table changes values itself; `is_active(false)` rejects its user.
    Row row(std::string_view key) noexcept {
        note(clerk_store_response_add_row(response_, detail::to_c(key)));
        return Row(this);
    }
    // Like the above, with the application's object for the row; Result::local_user returns it.
    template <class T>
    Row row(std::string_view key, std::shared_ptr<T> object) {
        keep(key, std::move(object));
        return row(key);
    }

    // Responds to `username_taken`.
    void taken(bool is_taken) noexcept { note(clerk_store_response_set_username_taken(response_, is_taken ? 1 : 0)); }

    // Responds to `create` with the new row's key.
    void created(std::string_view key) noexcept { note(clerk_store_response_set_created_key(response_, detail::to_c(key))); }
    template <class T>
    void created(std::string_view key, std::shared_ptr<T> object) {
        keep(key, std::move(object));
        created(key);
    }

    // Responds to `create` and `update`: a unique constraint was violated, or no row was updated. It is looked up again.
    void conflict() noexcept { status_ = CLERK_STORE_CONFLICT; }

    // Responds to `begin`, `commit` and `rollback`: not supported.
    void decline() noexcept { status_ = CLERK_STORE_DECLINE; }

    // Responds with a failure: the request is not signed in (Outcome::unavailable). Error::message returns the message,
    // Error::store_code the code, which is negative (a positive one is negated, 0 becomes -1).
    void fail(int32_t code, std::string_view message) noexcept {
        status_ = code < 0 ? code : code > 0 ? -code : -1;
        has_failed_ = true;
        static_cast<void>(clerk_store_response_set_error(response_, detail::to_c(message)));
    }

#if CLERK_AUTH_EXCEPTIONS
    // Responds with an exception, which becomes Error::cause; a Conflict is a conflict.
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
            fail(-1, "the user store threw an object that is not a std::exception");
        }
        if (state_ != nullptr && !state_->store) state_->store = thrown;
    }
#endif

    // Returns the status for the C callback.
    int32_t status() const noexcept { return status_; }

private:
    friend class UserStore;
    friend class PendingBase;
    template <class Function>
    friend int32_t run_store(Function &function, const clerk_store_request *request, StoreResponse &response) noexcept;

    void note(int32_t status) noexcept {
        if (status == CLERK_OK || has_failed_) return;
        fail(status, status == CLERK_E_UTF8
                         ? "the user store's response is not UTF-8"
                         : "the user store's response was rejected: an empty key, a string that is too long or "
                           "contains NUL, a column of another type, or too many rows");
    }

    template <class T>
    void keep(std::string_view key, std::shared_ptr<T> object) {
        if (state_ == nullptr || object == nullptr) return;
        state_->rows.push_back({std::string(key), std::move(object), &detail::type_tag<T>});
    }

    clerk_store_response *response_;
    detail::CallState *state_;
    int32_t status_ = CLERK_STORE_OK;
    bool has_failed_ = false;
    bool is_write_ = false;
};

// Calls a store function. An exception becomes the response's failure. Returns the status for the C callback.
template <class Function>
int32_t run_store(Function &function, const clerk_store_request *request, StoreResponse &response) noexcept {
    const StoreRequest store_request(request);
    response.is_write_ = store_request.kind() == StoreRequestKind::create || store_request.kind() == StoreRequestKind::update;
#if CLERK_AUTH_EXCEPTIONS
    try {
        function(store_request, response);
    } catch (...) {
        response.fail(std::current_exception());
    }
#else
    function(store_request, response);
#endif
    return response.status();
}

// The application's user table. Called on the threads that authenticate, several at once, also for the same user. To fail,
// throw (the exception becomes Error::cause) or call StoreResponse::fail.
class UserStore {
public:
    virtual ~UserStore() = default;

    // Finds the row with this key: StoreResponse::row, or nothing.
    virtual void find_by_key(std::string_view key, StoreResponse &response) = 0;
    // Finds the row of the Clerk user. Ids are compared exactly.
    virtual void find_by_clerk_id(std::string_view clerk_id, StoreResponse &response) = 0;
    // Finds rows by e-mail address, ignoring case. Two are enough: first those that the application has deactivated.
    virtual void find_by_email(std::string_view email, StoreResponse &response) = 0;
    // Returns whether a row other than `except_key` has the username, ignoring case: StoreResponse::taken.
    virtual void username_taken(std::string_view username, std::optional<std::string_view> except_key,
                                StoreResponse &response) = 0;
    // Creates a row: StoreResponse::created or StoreResponse::row.
    virtual void create(const RowChanges &columns, StoreResponse &response) = 0;
    // Updates these columns of the row if it fulfils the condition: nothing, or StoreResponse::row. Else throws Conflict or
    // calls StoreResponse::conflict.
    virtual void update(std::string_view key, const RowChanges &columns, const UpdateCondition &condition,
                        StoreResponse &response) = 0;

    // Called around `create` and `update`; not for stepwise operations.
    virtual void begin(StoreResponse &response) { response.decline(); }
    virtual void commit(StoreResponse &response) { response.decline(); }
    virtual void rollback(StoreResponse &response) { response.decline(); }

    // Executes a request: calls the function above for its kind.
    void execute(const StoreRequest &request, StoreResponse &response) {
        const std::string_view key = request.key().value_or(std::string_view());
        const std::string_view text = request.value().value_or(std::string_view());
        switch (request.kind()) {
        case StoreRequestKind::find_by_key:
            return find_by_key(key, response);
        case StoreRequestKind::find_by_clerk_id:
            return find_by_clerk_id(text, response);
        case StoreRequestKind::find_by_email:
            return find_by_email(text, response);
        case StoreRequestKind::username_taken:
            return username_taken(text, request.key(), response);
        case StoreRequestKind::create:
            return create(request.columns(), response);
        case StoreRequestKind::update:
            return update(key, request.columns(), request.condition(), response);
        case StoreRequestKind::begin:
            return begin(response);
        case StoreRequestKind::commit:
            return commit(response);
        case StoreRequestKind::rollback:
            return rollback(response);
        case StoreRequestKind::done:
        case StoreRequestKind::fetch_user:
            break;
        }
        response.fail(-1, "unknown request kind");
    }

protected:
    UserStore() = default;
    UserStore(const UserStore &) = default;
    UserStore &operator=(const UserStore &) = default;
};

CLERK_AUTH_NAMESPACE_END

#endif
