// Simulates a machine with the sensors of a Raspberry Pi. Preloaded into a program (LD_PRELOAD), this library replaces
// files of the kernel with those of a directory. It simulates the firmware, a disk that fills up or hangs, and the
// clock's synchronisation. Build it with:
//
//   cc -O2 -Wall -Wextra -Werror -shared -fPIC -o libmachine.so tests/machine.c -ldl -lpthread
//
// Environment:
//   MACHINE_DIR=DIR  the control directory. Without it the library does nothing.
//
// Control files. Replace them by renaming new ones over them:
//   DIR/sys/class/thermal, DIR/sys/class/hwmon, DIR/proc/meminfo, DIR/proc/self/net/wireless
//                        replace the files and directories at these paths.
//   DIR/dev/vcio_gencmd  the firmware's answer to `get_throttled`. Without the file the machine has no firmware.
//   DIR/disk             two numbers: size and available space of every disk, in megabytes.
//   DIR/hang             while it exists, statvfs does not return.
//   DIR/synchronised     while it exists, adjtimex reports a synchronised clock, otherwise an unsynchronised one.

// Some compilers define these by default, which makes the headers rename the functions defined here.
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#define MAILBOX _IOWR(100, 0, char *)
#define GENCMD 0x00030080
#define TEXT_BYTES 1024
#define MEGABYTE 1000000

static const char *const replaced[] = {
    "/sys/class/thermal", "/sys/class/hwmon", "/proc/meminfo", "/proc/self/net/wireless", "/dev/vcio",
};

static void *original(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        abort();
    return function;
}

static const char *below(char *buffer, const char *path)
{
    const char *dir = getenv("MACHINE_DIR");

    if (!dir)
        return NULL;
    snprintf(buffer, PATH_MAX, "%s%s", dir, path);
    return buffer;
}

static bool exists(const char *path)
{
    char buffer[PATH_MAX];

    return below(buffer, path) && !access(buffer, F_OK);
}

// Returns the path in the control directory for a replaced path, and any other path unchanged.
static const char *redirect(char *buffer, const char *path)
{
    for (size_t i = 0; i < sizeof replaced / sizeof *replaced; i++)
        if (!strncmp(path, replaced[i], strlen(replaced[i])) && below(buffer, path))
            return buffer;
    return path;
}

static int open_redirected(const char *function, const char *path, int flags, mode_t mode)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))original(function);
    char buffer[PATH_MAX];

    return real(redirect(buffer, path), flags, mode);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_redirected("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_redirected("open64", path, flags, mode);
}

DIR *opendir(const char *path)
{
    DIR *(*real)(const char *) = (DIR *(*)(const char *))original("opendir");
    char buffer[PATH_MAX];

    return real(redirect(buffer, path));
}

// Handles a mailbox message as drivers/char/broadcom/vcio.c and the firmware do.
static int answer(int file, uint32_t *message)
{
    uint32_t words = 6 + TEXT_BYTES / 4 + 1;

    if (message[0] != 4 * words || message[1] || message[2] != GENCMD || message[3] != TEXT_BYTES
        || message[words - 1]) {
        errno = EINVAL;
        return -1;
    }
    message[1] = 0x80000000;
    message[5] = strcmp((char *)&message[6], "get_throttled") != 0;
    memset(&message[6], 0, TEXT_BYTES);
    return pread(file, &message[6], TEXT_BYTES - 1, 0) < 0 ? -1 : 0;
}

int ioctl(int file, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))original("ioctl");
    va_list arguments;

    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == MAILBOX && getenv("MACHINE_DIR"))
        return answer(file, argument);
    return real(file, request, argument);
}

int statvfs(const char *restrict path, struct statvfs *restrict disk)
{
    int (*real)(const char *, struct statvfs *) = (int (*)(const char *, struct statvfs *))original("statvfs");
    unsigned long long total, available;
    char buffer[PATH_MAX];

    while (exists("/hang"))
        usleep(20000);
    int result = real(path, disk);
    FILE *file = result || !below(buffer, "/disk") ? NULL : fopen(buffer, "re");
    if (file) {
        if (fscanf(file, "%llu %llu", &total, &available) == 2) {
            disk->f_frsize = MEGABYTE;
            disk->f_blocks = total;
            disk->f_bfree = disk->f_bavail = available;
        }
        fclose(file);
    }
    return result;
}

int adjtimex(struct timex *timex)
{
    int (*real)(struct timex *) = (int (*)(struct timex *))original("adjtimex");
    int result = real(timex);

    return result < 0 || !getenv("MACHINE_DIR") ? result : exists("/synchronised") ? TIME_OK : TIME_ERROR;
}
