/* A disk with a volatile cache, as an LD_PRELOAD library.
 *
 * Every write to a file under POWER_LOSS_FOLDER is first described in POWER_LOSS_LOG: the bytes it replaces, the size
 * the file had, and the new bytes; every fsync or fdatasync that succeeded is noted after it. With the log, power_loss.py
 * can put the files into the state that a power cut would have left: what was synced, and of the rest any part or none.
 *
 * A file is known by its inode, so renames keep it. Directory entries count as durable.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, SYNC = 3 };

struct record {
    uint32_t kind, old_length, new_length, unused;
    uint64_t inode, offset, size; /* size: of the file, before */
};

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static char folder[PATH_MAX];
static size_t folder_length;
static int log_file = -1;
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(const char *what) {
    perror(what);
    abort();
}

static void load(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    const char *watched = getenv("POWER_LOSS_FOLDER"), *log = getenv("POWER_LOSS_LOG");
    if (watched == NULL || log == NULL || realpath(watched, folder) == NULL) fail("POWER_LOSS_FOLDER, POWER_LOSS_LOG");
    folder_length = strlen(folder);
    log_file = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (log_file < 0) fail(log);
    int high = fcntl(log_file, F_DUPFD_CLOEXEC, 512); /* programs that close low descriptors leave it alone */
    if (high >= 0) {
        close(log_file);
        log_file = high;
    }
}

/* Whether the descriptor is a file of the folder, and how it stands. */
static int watched(int fd, struct stat *status) {
    int before = errno;
    char link[64], path[PATH_MAX];
    pthread_once(&once, load);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    int found = length > (ssize_t)folder_length && memcmp(path, folder, folder_length) == 0 &&
                path[folder_length] == '/' && fstat(fd, status) == 0 && S_ISREG(status->st_mode);
    errno = before;
    return found;
}

static void note(struct record record, const void *old, const void *new) {
    struct iovec parts[3] = {
        {&record, sizeof record}, {(void *)old, record.old_length}, {(void *)new, record.new_length}};
    if (writev(log_file, parts, 3) != (ssize_t)(sizeof record + record.old_length + record.new_length))
        fail("the log of writes");
}

static void note_write(int fd, const struct stat *status, const void *new, size_t length, off_t offset) {
    uint64_t size = status->st_size, kept = (uint64_t)offset < size ? size - offset : 0;
    if (kept > length) kept = length;
    void *old = malloc(kept + 1);
    if (old == NULL || real_pread(fd, old, kept, offset) != (ssize_t)kept) fail("reading what is overwritten");
    note((struct record){WRITE, kept, length, 0, status->st_ino, offset, size}, old, new);
    free(old);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    struct stat status;
    if (!watched(fd, &status)) return real_pwrite(fd, bytes, length, offset);
    pthread_mutex_lock(&guard);
    note_write(fd, &status, bytes, length, offset);
    ssize_t written = real_pwrite(fd, bytes, length, offset);
    pthread_mutex_unlock(&guard);
    return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
    struct stat status;
    if (!watched(fd, &status)) return real_write(fd, bytes, length);
    pthread_mutex_lock(&guard);
    off_t offset = fcntl(fd, F_GETFL) & O_APPEND ? status.st_size : lseek(fd, 0, SEEK_CUR);
    note_write(fd, &status, bytes, length, offset);
    ssize_t written = real_write(fd, bytes, length);
    pthread_mutex_unlock(&guard);
    return written;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    ssize_t total = 0;
    for (int each = 0; each < count; each++) {
        ssize_t written = pwrite64(fd, parts[each].iov_base, parts[each].iov_len, offset + total);
        if (written < 0) return total > 0 ? total : -1;
        total += written;
        if ((size_t)written < parts[each].iov_len) break;
    }
    return total;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off_t size) {
    struct stat status;
    if (!watched(fd, &status)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&guard);
    size_t cut = size < status.st_size ? status.st_size - size : 0;
    void *old = malloc(cut + 1);
    if (old == NULL || real_pread(fd, old, cut, size) != (ssize_t)cut) fail("reading what is cut off");
    note((struct record){TRUNCATE, cut, 0, 0, status.st_ino, size, status.st_size}, old, NULL);
    free(old);
    int done = real_ftruncate(fd, size);
    pthread_mutex_unlock(&guard);
    return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*sync)(int)) {
    struct stat status;
    if (!watched(fd, &status)) return sync(fd);
    pthread_mutex_lock(&guard);
    int done = sync(fd);
    if (done == 0) note((struct record){SYNC, 0, 0, 0, status.st_ino, 0, 0}, NULL, NULL);
    pthread_mutex_unlock(&guard);
    return done;
}

int fsync(int fd) {
    pthread_once(&once, load);
    return synced(fd, real_fsync);
}

int fdatasync(int fd) {
    pthread_once(&once, load);
    return synced(fd, real_fdatasync);
}
