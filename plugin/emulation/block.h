// A block of threads as fibers (block.cpp).
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace emulation {

enum class Operation { none, sync, shuffle, vote };

// What each lane of a warp has given to an operation.
struct Lanes {
  uint64_t bits[32];
};

struct Thread {
  enum class State { ready, barrier, warp, ended } state = State::ready;
  Operation operation = Operation::none;  // that it waits in, with `mask` and its own `bits`
  unsigned mask = 0;
  uint64_t bits = 0;
  Lanes received{};
  bool begun = false;
  ucontext_t first{};  // where it begins; later it is where it was left
  jmp_buf left;
  std::unique_ptr<char[]> stack;
};

class Block {
 public:
  // Runs all threads of block `index` to their ends.
  void run(unsigned index, unsigned blocks, unsigned threads, size_t shared,
           const std::function<void()>& kernel, std::mt19937* shuffled, bool backward);

  unsigned thread() const { return current_; }
  unsigned threads() const { return n_threads_; }
  unsigned index() const { return index_; }
  unsigned blocks() const { return blocks_; }
  char* shared_bytes() { return reinterpret_cast<char*>(shared_.data()); }

  void barrier();
  const Lanes& exchange(Operation operation, unsigned mask, uint64_t bits);

 private:
  static void begin();
  void wait(Thread::State state);
  void go_on(Thread& thread);
  void run_to_barrier(const std::vector<unsigned>& order);
  bool release_lanes(unsigned waiting);
  std::string release_barrier();

  unsigned current_ = 0, n_threads_ = 0, index_ = 0, blocks_ = 0;
  std::vector<Thread> threads_;
  std::vector<double> shared_;
  jmp_buf scheduler_;
  const std::function<void()>* kernel_ = nullptr;
};

// The block that runs.
Block& block();

void run(int64_t blocks, int threads, size_t shared, const std::function<void()>& kernel);

// Memory of an array that is shared by the threads of a block. All of them are filled with NaN
// when a block begins.
struct SharedArray {
  char* data;
  size_t size;
};
void remember(SharedArray array);

template <size_t BYTES>
class SharedMemory {
 public:
  SharedMemory() {
    __builtin_memset(bytes_, 0xff, BYTES);
    remember({bytes_, BYTES});
  }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(bytes_);
  }

 private:
  alignas(16) char bytes_[BYTES];
};

}  // namespace emulation
