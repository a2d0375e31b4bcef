// A few threads that do one thing together again and again.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace netml {

class Workers {
public:
    // The caller is one of the threads.
    explicit Workers(int threads) {
        for (int k = 1; k < threads; ++k) others.emplace_back([this, k] { serve(k); });
    }
    ~Workers() {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            stop = true;
        }
        begin.notify_all();
        for (std::thread& thread : others) thread.join();
    }

    // task(k) on thread k, for all of them; returns when all are done.
    void run(const std::function<void(int)>& what) {
        if (others.empty()) return what(0);
        {
            const std::lock_guard<std::mutex> lock(mutex);
            task = &what;
            busy = (int)others.size();
            ++turn;
        }
        begin.notify_all();
        what(0);
        std::unique_lock<std::mutex> lock(mutex);
        end.wait(lock, [this] { return busy == 0; });
    }

private:
    void serve(int k) {
        std::unique_lock<std::mutex> lock(mutex);
        for (long done = 0;;) {
            begin.wait(lock, [&] { return stop || turn != done; });
            if (stop) return;
            done = turn;
            lock.unlock();
            (*task)(k);
            lock.lock();
            if (--busy == 0) end.notify_one();
        }
    }

    std::vector<std::thread> others;
    std::mutex mutex;
    std::condition_variable begin, end;
    const std::function<void(int)>* task = nullptr;
    long turn = 0;
    int busy = 0;
    bool stop = false;
};

}  // namespace netml
