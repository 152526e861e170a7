// A program that runs during the tests and exits when its standard input is closed, so that none is left running.
#ifndef PROCESS_HPP
#define PROCESS_HPP

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

class Process {
public:
    using Variables = std::vector<std::pair<std::string, std::string>>;

    // The variables are added to this process's environment, without those of Clerk's settings.
    explicit Process(const std::vector<std::string> &command, const Variables &variables = {});
    ~Process();
    Process(const Process &) = delete;
    Process &operator=(const Process &) = delete;

    // The next line of standard output (and standard error, which is redirected to it); "" at its end.
    std::string line();
    // All that is left of it.
    std::string rest();
    // Closes standard input, reads the rest, and returns the exit code; -1 if a signal ended it.
    int end();

private:
    pid_t pid_;
    int input_;
    int output_;
    std::string read_;
};

#endif
