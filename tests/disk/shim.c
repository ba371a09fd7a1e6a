/* A disk that fails, stops or is recorded: preloaded into a process, under everything it does with files.

   Looked at are the files below $DISK_UNDER, told apart by their names' ends. $DISK_CONTROL is a file, shared by
   mmap, that says what is to happen to which call (struct control). Where $DISK_RECORD is set, each call that
   changes a file is appended to it, in the order in which the kernel did them:

       op (1)  length of name (1)  length of data (4)  offset (8)  name  data        (little-endian)

   W is a write, T a truncation to `offset`, S a sync that worked, F one that failed, U a deletion. A sync of "."
   is one of the directory: of which files there are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, READ = 4, TRUNCATE = 8 };
enum { DATABASE = 1, WAL = 2, OTHER = 4 };
enum { WORK, INPUT_OUTPUT, NO_SPACE, DIE, TEAR };

struct control {
    volatile int32_t fault;  /* one of WORK ... TEAR */
    volatile int32_t calls;  /* which calls it hits */
    volatile int32_t files;  /* of which files */
    volatile int32_t after;  /* so many are let pass first */
    volatile int32_t times;  /* so many fail; -1: all */
    volatile int32_t failed; /* so many have failed */
    volatile int32_t passed; /* so many of those that it could hit have worked, whatever the fault */
};

#define FILES 1024
static char *names[FILES];
static struct control *control;
static int record = -1;
static char under[4096];
static size_t under_length;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

#define REAL(result, name, ...) \
    static result (*real_##name)(__VA_ARGS__); \
    if (!real_##name) real_##name = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("DISK_UNDER");
    if (!path || !getenv("DISK_CONTROL")) return;
    strncpy(under, path, sizeof under - 1);
    under_length = strlen(under);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("DISK_CONTROL"), O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) abort();
    control = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) abort();
    syscall(SYS_close, fd);
    if (getenv("DISK_RECORD")) {
        record = (int)syscall(SYS_openat, AT_FDCWD, getenv("DISK_RECORD"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (record < 0) abort();
    }
}

static int ends(const char *name, const char *with) {
    size_t a = strlen(name), b = strlen(with);
    return a >= b && !strcmp(name + a - b, with);
}

/* The name of a file we look at, relative to the directory, which is "." itself; NULL for any other. */
static const char *below(const char *path) {
    if (!control || strncmp(path, under, under_length) || ends(path, "-shm")) return NULL;
    return !path[under_length] ? "." : path[under_length] == '/' ? path + under_length + 1 : NULL;
}

static int kind(const char *name) { return ends(name, "-wal") ? WAL : ends(name, ".db") ? DATABASE : OTHER; }

static const char *name_of(int fd) { return fd >= 0 && fd < FILES ? names[fd] : NULL; }

static void note(char op, const char *name, int64_t offset, const void *data, uint32_t size) {
    if (record < 0) return;
    uint8_t head[14] = {(uint8_t)op, (uint8_t)strlen(name)};
    memcpy(head + 2, &size, 4);
    memcpy(head + 6, &offset, 8);
    syscall(SYS_write, record, head, sizeof head);
    syscall(SYS_write, record, name, strlen(name));
    if (size) syscall(SYS_write, record, data, size);
}

/* What is to happen to a call; under `turn`. */
static int fault(const char *name, int call) {
    if (!(control->calls & call) || !(control->files & kind(name))) return WORK;
    if (control->fault == WORK || control->times == 0) return control->passed++, WORK;
    if (control->after > 0) return control->after--, control->passed++, WORK;
    if (control->times > 0) control->times--;
    control->failed++;
    if (control->fault == DIE) kill(getpid(), SIGKILL), pause();
    return control->fault;
}

static int broken(int what) { return errno = what == NO_SPACE ? ENOSPC : EIO, -1; }

static ssize_t written(int fd, const char *name, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    pthread_mutex_lock(&turn);
    int what = fault(name, WRITE);
    ssize_t done;
    if (what == TEAR) {
        real_pwrite64(fd, data, size / 2, offset);
        kill(getpid(), SIGKILL), pause();
    }
    if (what) {
        done = broken(what);
    } else {
        done = real_pwrite64(fd, data, size, offset);
        if (done > 0) note('W', name, offset, data, (uint32_t)done);
    }
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    const char *name = name_of(fd);
    return name ? written(fd, name, data, size, offset) : real_pwrite64(fd, data, size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    const char *name = name_of(fd);
    if (!name) return real_write(fd, data, size);
    struct stat now;
    off64_t at = fcntl(fd, F_GETFL) & O_APPEND && !fstat(fd, &now) ? now.st_size : lseek64(fd, 0, SEEK_CUR);
    ssize_t done = written(fd, name, data, size, at);
    if (done > 0) lseek64(fd, at + done, SEEK_SET);
    return done;
}

ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pread64, int, void *, size_t, off64_t);
    const char *name = name_of(fd);
    if (name) {
        pthread_mutex_lock(&turn);
        int what = fault(name, READ);
        pthread_mutex_unlock(&turn);
        if (what) return broken(what);
    }
    return real_pread64(fd, data, size, offset);
}

static int synced(int fd, const char *name, int (*real)(int)) {
    pthread_mutex_lock(&turn);
    int what = fault(name, SYNC);
    int done = what ? broken(what) : real(fd);
    note(done ? 'F' : 'S', name, 0, NULL, 0);
    pthread_mutex_unlock(&turn);
    return done;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    const char *name = name_of(fd);
    return name ? synced(fd, name, real_fsync) : real_fsync(fd);
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    const char *name = name_of(fd);
    return name ? synced(fd, name, real_fdatasync) : real_fdatasync(fd);
}

int ftruncate64(int fd, off64_t size) {
    REAL(int, ftruncate64, int, off64_t);
    const char *name = name_of(fd);
    if (!name) return real_ftruncate64(fd, size);
    pthread_mutex_lock(&turn);
    int what = fault(name, TRUNCATE);
    int done = what ? broken(what) : real_ftruncate64(fd, size);
    if (!done) note('T', name, size, NULL, 0);
    pthread_mutex_unlock(&turn);
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    const char *name = below(path);
    if (!name) return real_unlink(path);
    pthread_mutex_lock(&turn);
    int done = real_unlink(path);
    if (!done) note('U', name, 0, NULL, 0);
    pthread_mutex_unlock(&turn);
    return done;
}

static int opened(const char *path, int fd) {
    if (fd >= 0 && fd < FILES) {
        free(names[fd]);
        const char *name = below(path);
        names[fd] = name ? strdup(name) : NULL;
    }
    return fd;
}

int open64(const char *path, int flags, ...) {
    REAL(int, open64, const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, real_open64(path, flags, mode));
}

int open(const char *path, int flags, ...) {
    REAL(int, open, const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    return opened(path, real_open(path, flags, mode));
}

int close(int fd) {
    REAL(int, close, int);
    if (name_of(fd)) {
        free(names[fd]);
        names[fd] = NULL;
    }
    return real_close(fd);
}
