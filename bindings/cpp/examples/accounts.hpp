// accounts.hpp - an application's user table, kept in sync with Clerk.
//
// Copy it and replace the table in memory by yours. Three things matter in any table: unique constraints, so that two
// simultaneous first requests of a new user cannot create two rows; writing only the requested columns; and obeying the
// condition of an update, so that no process overwrites newer data with older.
#ifndef ACCOUNTS_HPP
#define ACCOUNTS_HPP

#include <clerk_auth.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <strings.h>

struct Account {
    int id = 0;
    std::optional<std::string> clerk_id;
    std::optional<std::string> email;
    std::string login;
    std::string given_name;
    std::string family_name;
    bool is_active = true;
    bool banned_by_clerk = false;
    std::optional<int64_t> clerk_updated_at;
    std::string plan = "free"; // used by the application only
};

class Accounts : public clerk::UserStore {
public:
    // Sets the store and its columns.
    static void attach(clerk::Config &config, std::shared_ptr<Accounts> accounts) {
        using clerk::Column;
        config.user_store(std::move(accounts))
            .user_columns({Column::clerk_id, Column::email, Column::username, Column::first_name, Column::last_name,
                           Column::is_active, Column::banned_by_clerk, Column::clerk_updated_at_ms});
    }

    void find_by_key(std::string_view key, clerk::StoreResponse &response) override {
        find(response, [&](const Account &account) { return std::to_string(account.id) == key; });
    }

    void find_by_clerk_id(std::string_view clerk_id, clerk::StoreResponse &response) override {
        find(response, [&](const Account &account) { return account.clerk_id == clerk_id; });
    }

    void find_by_email(std::string_view email, clerk::StoreResponse &response) override {
        find(response, [&](const Account &account) { return account.email && same(*account.email, email); });
    }

    void username_taken(std::string_view username, std::optional<std::string_view> except_key,
                        clerk::StoreResponse &response) override {
        const std::lock_guard lock(mutex_);
        response.taken(std::any_of(rows_.begin(), rows_.end(), [&](const auto &row) {
            return same(row.second->login, username) && except_key != std::to_string(row.first);
        }));
    }

    void create(const clerk::RowChanges &columns, clerk::StoreResponse &response) override {
        const std::lock_guard lock(mutex_);
        auto account = std::make_shared<Account>();
        account->id = last_id_ + 1;
        write(columns, *account);
        rows_[account->id] = account;
        last_id_ = account->id;
        show(response, account);
    }

    void update(std::string_view key, const clerk::RowChanges &columns, const clerk::UpdateCondition &condition,
                clerk::StoreResponse &response) override {
        const std::lock_guard lock(mutex_);
        const auto row = rows_.find(std::stoi(std::string(key)));
        // In SQL: UPDATE … WHERE id = … AND …
        if (row == rows_.end()) throw clerk::Conflict();
        const Account &old = *row->second;
        if (!condition.allows(old.clerk_id.has_value(), old.clerk_updated_at, old.is_active, old.banned_by_clerk))
            throw clerk::Conflict();
        // Copy on write: another request may be reading the row.
        auto account = std::make_shared<Account>(*row->second);
        write(columns, *account);
        row->second = account;
        show(response, account);
    }

protected:
    using Rows = std::map<int, std::shared_ptr<Account>>;

    static bool same(std::string_view one, std::string_view other) {
        return one.size() == other.size() && strncasecmp(one.data(), other.data(), one.size()) == 0;
    }

    template <class Fits>
    void find(clerk::StoreResponse &response, Fits &&fits) {
        const std::lock_guard lock(mutex_);
        for (const auto &row : rows_)
            if (fits(*row.second)) show(response, row.second);
    }

    void show(clerk::StoreResponse &response, const std::shared_ptr<Account> &account) {
        response.row(std::to_string(account->id), account)
            .clerk_id(account->clerk_id)
            .email(account->email)
            .username(account->login)
            .first_name(account->given_name)
            .last_name(account->family_name)
            .is_active(account->is_active)
            .banned_by_clerk(account->banned_by_clerk)
            .clerk_updated_at_ms(account->clerk_updated_at);
    }

    void write(const clerk::RowChanges &columns, Account &account) {
        if (const auto clerk_id = columns.clerk_id()) account.clerk_id = *clerk_id;
        if (const auto email = columns.email()) account.email = *email;
        if (const auto username = columns.username()) account.login = *username;
        if (const auto first_name = columns.first_name()) account.given_name = *first_name;
        if (const auto last_name = columns.last_name()) account.family_name = *last_name;
        if (const auto is_active = columns.is_active()) account.is_active = *is_active;
        if (const auto banned = columns.banned_by_clerk()) account.banned_by_clerk = *banned;
        if (const auto version = columns.clerk_updated_at_ms()) account.clerk_updated_at = *version;
        for (const auto &[id, other] : rows_) {
            const bool same_user = account.clerk_id && other->clerk_id == account.clerk_id;
            if (id != account.id && (same_user || same(other->login, account.login))) throw clerk::Conflict();
        }
    }

    std::mutex mutex_;
    Rows rows_;
    int last_id_ = 0;
};

#endif
