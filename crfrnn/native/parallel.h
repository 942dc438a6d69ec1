// Threads that share one piece of work, and the points at which they wait for each other.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <vector>

// What the Python side calls.
#define EXPORT extern "C" __attribute__((visibility("default")))

// Keeps the compile time down where one body is used in several places, and what is rare out of the way.
#define NOINLINE __attribute__((noinline))

namespace crfrnn {

using std::int32_t;
using std::int64_t;
using std::uint8_t;

// Nobody passes `wait` before all have called it. (std::mutex and std::thread would double the time to compile.)
class Barrier {
  public:
    Barrier() {
        pthread_mutex_init(&mutex_, nullptr);
        pthread_cond_init(&changed_, nullptr);
    }
    ~Barrier() {
        pthread_cond_destroy(&changed_);
        pthread_mutex_destroy(&mutex_);
    }

    // Before any `wait`; every worker may call it, with the same count.
    void set_count(int count) { __atomic_store_n(&count_, count, __ATOMIC_RELEASE); }

    void wait() {
        if (count_ == 1) return;
        const int64_t round = __atomic_load_n(&round_, __ATOMIC_ACQUIRE);
        pthread_mutex_lock(&mutex_);
        if (++waiting_ == count_) {
            waiting_ = 0;
            __atomic_store_n(&round_, round + 1, __ATOMIC_RELEASE);
            pthread_cond_broadcast(&changed_);
            pthread_mutex_unlock(&mutex_);
            return;
        }
        pthread_mutex_unlock(&mutex_);
        // The others mostly come a moment later, and a sleeping thread takes longer to wake.
        for (int spin = 0; spin < SPINS; ++spin) {
            if (__atomic_load_n(&round_, __ATOMIC_ACQUIRE) != round) return;
        }
        pthread_mutex_lock(&mutex_);
        while (round_ == round) pthread_cond_wait(&changed_, &mutex_);
        pthread_mutex_unlock(&mutex_);
    }

  private:
    static constexpr int SPINS = 50000;
    int count_ = 1;
    int waiting_ = 0;
    int64_t round_ = 0;
    pthread_mutex_t mutex_;
    pthread_cond_t changed_;
};

// One of the threads of `in_parallel`.
struct Worker {
    int number;
    int count;
    Barrier* barrier;

    void wait() const { barrier->wait(); }

    // This worker's share of [0, size): where it begins, and where it ends.
    int64_t begin(int64_t size) const { return size * number / count; }
    int64_t end(int64_t size) const { return size * (number + 1) / count; }
};

// GNU OpenMP and LLVM's, where torch brings one of them with it; null elsewhere.
extern "C" int omp_pause_resource_all(int kind) __attribute__((weak));

// A forked child has none of the threads for which OpenMP would wait there.
inline bool forked() {
    static const pid_t first = getpid();
    return getpid() != first;
}

// Torch's threads spin for milliseconds after each of its operations, on cores that ours could use; beside other
// programs they use up the time that the system grants. They end here and start again with torch's next operation.
inline void end_threads_of_torch() {
    constexpr int SOFT = 1;
    if (omp_pause_resource_all && !forked()) omp_pause_resource_all(SOFT);
}

// The threads of one call from Python. They start with the first piece of work, wait between one piece and the next,
// and end with the call, so that a fork has none to lose.
class Crew {
  public:
    explicit Crew(int size) : size_(size), outer_(current()) { current() = this; }
    ~Crew() {
        current() = outer_;
        if (threads_.empty()) return;
        work_ = nullptr;
        gate_.wait();
        for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
    }
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    // The crew of the call that this thread is in; null outside of one.
    static Crew*& current() {
        static thread_local Crew* crew = nullptr;
        return crew;
    }

    // As many threads as the system grants share the work, up to `count` and the size of the crew.
    void run(int count, void (*work)(const void*, const Worker&), const void* context) {
        if (threads_.empty()) start();
        work_ = work;
        context_ = context;
        count_ = std::min(count, int(threads_.size()) + 1);
        inner_.set_count(count_);
        gate_.wait();
        work(context, Worker{0, count_, &inner_});
        gate_.wait();
    }

  private:
    struct Member {
        Crew* crew;
        int number;
    };

    void start() {
        end_threads_of_torch();
        members_.resize(size_);
        threads_.resize(size_ - 1);
        pthread_mutex_lock(&roll_);
        int started = 1;
        for (; started < size_; ++started) {
            members_[started] = Member{this, started};
            if (pthread_create(&threads_[started - 1], nullptr, serve, &members_[started]) != 0) break;
        }
        threads_.resize(started - 1);
        gate_.set_count(started);
        pthread_mutex_unlock(&roll_);
    }

    static void* serve(void* member) {
        const Member own = *static_cast<const Member*>(member);
        Crew& crew = *own.crew;
        pthread_mutex_lock(&crew.roll_);
        pthread_mutex_unlock(&crew.roll_);
        for (;;) {
            crew.gate_.wait();
            if (!crew.work_) return nullptr;
            if (own.number < crew.count_) crew.work_(crew.context_, Worker{own.number, crew.count_, &crew.inner_});
            crew.gate_.wait();
        }
    }

    const int size_;
    Crew* const outer_;
    std::vector<Member> members_;
    std::vector<pthread_t> threads_;
    pthread_mutex_t roll_ = PTHREAD_MUTEX_INITIALIZER;  // held until it is known how many have started
    Barrier gate_, inner_;                              // of all, and of those who share the work
    void (*work_)(const void*, const Worker&) = nullptr;
    const void* context_ = nullptr;
    int count_ = 1;
};

inline void run_workers(int count, void (*work)(const void*, const Worker&), const void* context) {
    if (count <= 1) {
        Barrier barrier;
        work(context, Worker{0, 1, &barrier});
    } else if (Crew* const crew = Crew::current()) {
        crew->run(count, work, context);
    } else {
        Crew(count).run(count, work, context);
    }
}

// How many threads are worth waking to work on so many numbers.
inline int threads_for(int threads, int64_t numbers) {
    return int(std::max<int64_t>(1, std::min<int64_t>(threads, numbers >> 14)));
}

// Calls work(worker) on up to `count` threads, the caller's among them, and returns when all are done.
template <class Work>
inline void in_parallel(int count, const Work& work) {
    // Through a plain function, so that each use compiles little.
    run_workers(
        count, [](const void* context, const Worker& worker) { (*static_cast<const Work*>(context))(worker); }, &work);
}

}  // namespace crfrnn
