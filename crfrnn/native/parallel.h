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

// Torch's own threads, where torch brings GNU OpenMP with it: they are awake already, and other threads would have to
// share the cores with them while they wait for more work. Null elsewhere.
extern "C" {
void GOMP_parallel(void (*work)(void*), void* context, unsigned threads, unsigned flags) __attribute__((weak));
int omp_get_thread_num() __attribute__((weak));
int omp_get_num_threads() __attribute__((weak));
}

// A forked child has none of the threads for which GNU OpenMP would wait there.
inline bool forked() {
    static const pid_t first = getpid();
    return getpid() != first;
}

// One piece of work for several threads; `gate` is held until their number is known.
struct Task {
    void (*work)(const void*, const Worker&);
    const void* context;
    Barrier* barrier;
    Worker worker;
    pthread_mutex_t* gate;
};

inline void run_in_team(void* task) {
    const Task& own = *static_cast<const Task*>(task);
    own.barrier->set_count(omp_get_num_threads());
    own.work(own.context, Worker{omp_get_thread_num(), omp_get_num_threads(), own.barrier});
}

inline void* run_behind_gate(void* task) {
    const Task& own = *static_cast<const Task*>(task);
    pthread_mutex_lock(own.gate);
    pthread_mutex_unlock(own.gate);
    own.work(own.context, own.worker);
    return nullptr;
}

// As many threads as the system grants share the work. They end with it, so that a fork has none to lose.
inline void run_in_threads(int count, const Task& task) {
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    std::vector<Task> tasks(count, task);
    std::vector<pthread_t> threads(count);
    pthread_mutex_lock(&gate);
    int started = 1;
    for (; started < count; ++started) {
        tasks[started].gate = &gate;
        if (pthread_create(&threads[started], nullptr, run_behind_gate, &tasks[started]) != 0) break;
    }
    task.barrier->set_count(started);
    for (int number = 0; number < started; ++number) tasks[number].worker = Worker{number, started, task.barrier};
    pthread_mutex_unlock(&gate);
    task.work(task.context, tasks[0].worker);
    for (int number = 1; number < started; ++number) pthread_join(threads[number], nullptr);
    pthread_mutex_destroy(&gate);
}

inline void run_workers(int count, void (*work)(const void*, const Worker&), const void* context) {
    Barrier barrier;
    Task task{work, context, &barrier, Worker{0, 1, &barrier}, nullptr};
    if (count <= 1) {
        work(context, task.worker);
    } else if (GOMP_parallel && omp_get_thread_num && omp_get_num_threads && !forked()) {
        GOMP_parallel(run_in_team, &task, unsigned(count), 0);
    } else {
        run_in_threads(count, task);
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
