/* A disk that hangs, for one process: every call on a file under FROZEN_DISK waits while the file FROZEN_SWITCH exists.

   Loaded with LD_PRELOAD. Covers what SQLite and CPython call to open, read, write, sync, rename and remove files;
   memory that is mapped is not covered. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for_disk(const char *path) {
    const char *disk = getenv("FROZEN_DISK"), *toggle = getenv("FROZEN_SWITCH");
    if (!disk || !toggle || !path || strncmp(path, disk, strlen(disk))) return;
    while (syscall(SYS_faccessat, AT_FDCWD, toggle, F_OK) == 0) usleep(5000);
}

static void wait_for_file(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    if (length <= 0) return;
    path[length] = 0;
    wait_for_disk(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define BY_FILE(result, name, parameters, arguments) \
    result name parameters { wait_for_file(fd); return REAL(name) arguments; }
#define BY_PATH(result, name, parameters, arguments) \
    result name parameters { wait_for_disk(path); return REAL(name) arguments; }
#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = va_arg(rest, mode_t); \
        va_end(rest); \
        wait_for_disk(path); \
        return REAL(name)(path, flags, mode); \
    }

OPENS(open)
OPENS(open64)
BY_FILE(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size))
BY_FILE(ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at))
BY_FILE(ssize_t, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at))
BY_FILE(ssize_t, write, (int fd, const void *from, size_t size), (fd, from, size))
BY_FILE(ssize_t, pwrite, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at))
BY_FILE(ssize_t, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at))
BY_FILE(int, fsync, (int fd), (fd))
BY_FILE(int, fdatasync, (int fd), (fd))
BY_FILE(int, ftruncate, (int fd, off_t size), (fd, size))
BY_FILE(int, ftruncate64, (int fd, off64_t size), (fd, size))
BY_FILE(int, posix_fallocate, (int fd, off_t at, off_t size), (fd, at, size))
BY_FILE(int, posix_fallocate64, (int fd, off64_t at, off64_t size), (fd, at, size))
BY_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode))
BY_PATH(int, unlink, (const char *path), (path))
BY_PATH(int, rename, (const char *path, const char *to), (path, to))
BY_PATH(int, stat64, (const char *path, struct stat64 *to), (path, to))
