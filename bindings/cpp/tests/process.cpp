#include "process.hpp"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

namespace {

// The caller's Clerk settings and its path of the cases are not passed on.
std::vector<std::string> environment(const Process::Variables &variables) {
    std::vector<std::string> all;
    for (char **entry = environ; *entry != nullptr; ++entry) {
        const std::string_view there(*entry);
        const auto names_it = [there](const auto &variable) {
            return there.substr(0, there.find('=')) == variable.first;
        };
        const bool is_replaced = std::any_of(variables.begin(), variables.end(), names_it);
        if (there.substr(0, 6) != "CLERK_" && !is_replaced) all.emplace_back(there);
    }
    for (const auto &[name, value] : variables) all.push_back(name + "=" + value);
    return all;
}

std::vector<char *> pointers(const std::vector<std::string> &texts) {
    std::vector<char *> all;
    for (const std::string &text : texts) all.push_back(const_cast<char *>(text.c_str()));
    all.push_back(nullptr);
    return all;
}

} // namespace

Process::Process(const std::vector<std::string> &command, const Variables &variables) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    const std::vector<std::string> entries = environment(variables);
    const std::vector<char *> arguments = pointers(command), environment = pointers(entries);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        dup2(from[1], STDERR_FILENO);
        execve(arguments[0], arguments.data(), environment.data());
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    input_ = to[1];
    output_ = from[0];
}

Process::~Process() {
    if (pid_ <= 0) return;
    close(input_);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(output_);
}

std::string Process::line() {
    std::string::size_type end;
    while ((end = read_.find('\n')) == std::string::npos) {
        char buffer[4096];
        const ssize_t got = read(output_, buffer, sizeof buffer);
        if (got <= 0) return std::exchange(read_, {});
        read_.append(buffer, static_cast<std::size_t>(got));
    }
    std::string line = read_.substr(0, end);
    read_.erase(0, end + 1);
    return line;
}

std::string Process::rest() {
    char buffer[4096];
    for (ssize_t got; (got = read(output_, buffer, sizeof buffer)) > 0;)
        read_.append(buffer, static_cast<std::size_t>(got));
    return std::exchange(read_, {});
}

int Process::end() {
    close(input_);
    while (!line().empty()) {
    }
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    close(output_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
