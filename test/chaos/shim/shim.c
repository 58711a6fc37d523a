/*
 * Preloaded into the processes of a chaos run: sets their clock, and lets their disk fail. Both follow a control file that
 * the run writes, which every process maps: 8 octets clock offset in milliseconds, 4 octets which call fails, 4 octets with
 * which errno, 4 octets how often (of 1000). Only files below CHAOS_DISK fail.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FAIL_NOTHING, FAIL_WRITE, FAIL_SYNC, FAIL_READ };

struct control {
  volatile int64_t offset_ms;
  volatile int32_t failing;
  volatile int32_t error;
  volatile int32_t often;
};

static struct control none;
static struct control *control = &none;
static const char *disk;
static size_t disk_length;

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("CHAOS_CONTROL");
  disk = getenv("CHAOS_DISK");
  disk_length = disk ? strlen(disk) : 0;
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) control = mapped;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* The clock */

int clock_gettime(clockid_t id, struct timespec *now) {
  REAL(clock_gettime);
  int result = real(id, now);
  if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += control->offset_ms / 1000;
  return result;
}

int gettimeofday(struct timeval *now, void *zone) {
  REAL(gettimeofday);
  int result = real(now, zone);
  if (result == 0) now->tv_sec += control->offset_ms / 1000;
  return result;
}

time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}

/* The disk */

static int fails(int call, int fd) {
  if (control->failing != call) return 0;
  char link[32], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < (ssize_t)disk_length || disk_length == 0 || strncmp(path, disk, disk_length) != 0) return 0;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if ((now.tv_nsec / 7) % 1000 >= control->often) return 0;
  errno = control->error;
  return 1;
}

#define FAILING(call, fd) \
  if (__builtin_expect(control->failing != FAIL_NOTHING, 0) && fails(call, fd)) return -1

ssize_t write(int fd, const void *from, size_t length) {
  REAL(write);
  FAILING(FAIL_WRITE, fd);
  return real(fd, from, length);
}
ssize_t pwrite(int fd, const void *from, size_t length, off_t at) {
  REAL(pwrite);
  FAILING(FAIL_WRITE, fd);
  return real(fd, from, length, at);
}
ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) {
  REAL(pwrite64);
  FAILING(FAIL_WRITE, fd);
  return real(fd, from, length, at);
}
ssize_t writev(int fd, const struct iovec *pieces, int count) {
  REAL(writev);
  FAILING(FAIL_WRITE, fd);
  return real(fd, pieces, count);
}
ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t at) {
  REAL(pwritev);
  FAILING(FAIL_WRITE, fd);
  return real(fd, pieces, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t at) {
  REAL(pwritev64);
  FAILING(FAIL_WRITE, fd);
  return real(fd, pieces, count, at);
}
int fsync(int fd) {
  REAL(fsync);
  FAILING(FAIL_SYNC, fd);
  return real(fd);
}
int fdatasync(int fd) {
  REAL(fdatasync);
  FAILING(FAIL_SYNC, fd);
  return real(fd);
}
ssize_t read(int fd, void *into, size_t length) {
  REAL(read);
  FAILING(FAIL_READ, fd);
  return real(fd, into, length);
}
ssize_t pread(int fd, void *into, size_t length, off_t at) {
  REAL(pread);
  FAILING(FAIL_READ, fd);
  return real(fd, into, length, at);
}
ssize_t pread64(int fd, void *into, size_t length, off64_t at) {
  REAL(pread64);
  FAILING(FAIL_READ, fd);
  return real(fd, into, length, at);
}
ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t at) {
  REAL(preadv);
  FAILING(FAIL_READ, fd);
  return real(fd, pieces, count, at);
}
ssize_t preadv64(int fd, const struct iovec *pieces, int count, off64_t at) {
  REAL(preadv64);
  FAILING(FAIL_READ, fd);
  return real(fd, pieces, count, at);
}
