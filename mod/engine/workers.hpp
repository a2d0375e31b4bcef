// A few threads that do one thing together again and again.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace netml {

class Workers {
public:
    // The caller is one of the threads.
    explicit Workers(int threads) {
        try {
            for (int k = 1; k < threads; ++k) others.emplace_back([this, k] { serve(k); });
        } catch (...) {
            end_all();       // the system gave only some
            throw;
        }
    }
    ~Workers() { end_all(); }

    // task(k) on thread k, for all of them; returns when all are done, with what one of them threw.
    void run(const std::function<void(int)>& what) {
        if (others.empty()) return what(0);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            task = &what;
            busy = (int)others.size();
            ++turn;
        }
        begin.notify_all();
        attempt(0);
        std::unique_lock<std::mutex> lock(mutex);
        end.wait(lock, [this] { return busy == 0; });
        if (thrown) std::rethrow_exception(std::exchange(thrown, nullptr));
    }

private:
    void end_all() {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            stop = true;
        }
        begin.notify_all();
        for (std::thread& thread : others) thread.join();
    }

    void attempt(int k) {
        try {
            (*task)(k);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(mutex);
            thrown = std::current_exception();
        }
    }

    void serve(int k) {
        std::unique_lock<std::mutex> lock(mutex);
        for (long done = 0;;) {
            begin.wait(lock, [&] { return stop || turn != done; });
            if (stop) return;
            done = turn;
            lock.unlock();
            attempt(k);
            lock.lock();
            if (--busy == 0) end.notify_one();
        }
    }

    std::vector<std::thread> others;
    std::mutex mutex;
    std::condition_variable begin, end;
    const std::function<void(int)>* task = nullptr;
    std::exception_ptr thrown;
    long turn = 0;
    int busy = 0;
    bool stop = false;
};

}  // namespace netml
