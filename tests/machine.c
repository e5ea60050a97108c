// A machine with the sensors of a Raspberry Pi. Preloaded into a program (LD_PRELOAD), this library shows files of a
// directory where the kernel's would be, has a firmware, a disk that fills up or hangs, and a clock that is set or not.
// Build it with:
//
//   cc -O2 -Wall -Wextra -Werror -shared -fPIC -o libmachine.so tests/machine.c -ldl -lpthread
//
// Environment:
//   MACHINE_DIR=DIR  without it the library does nothing.
//
// Files, which are to be replaced by renaming others:
//   DIR/sys/class/thermal, DIR/sys/class/hwmon, DIR/proc/meminfo, DIR/proc/self/net/wireless
//                        what is seen at these places.
//   DIR/dev/vcio_gencmd  what the firmware answers to `get_throttled`; without it there is no firmware.
//   DIR/disk             two numbers, the megabytes that every disk has and those that are available.
//   DIR/hang             while it exists a disk that is asked for its size gives no answer.
//   DIR/synchronised     while it exists the kernel calls the clock synchronised, else it does not.

// Some compilers set these by themselves, and the headers then rename the very functions defined here.
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

#define LETTER _IOWR(100, 0, char *)
#define GENCMD 0x00030080
#define TEXT_BYTES 1024
#define MEGABYTE 1000000

static const char *const shown[] = {
    "/sys/class/thermal", "/sys/class/hwmon", "/proc/meminfo", "/proc/self/net/wireless", "/dev/vcio",
};

static void *original(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        abort();
    return function;
}

static const char *below(char *room, const char *path)
{
    const char *dir = getenv("MACHINE_DIR");

    if (!dir)
        return NULL;
    snprintf(room, PATH_MAX, "%s%s", dir, path);
    return room;
}

static bool exists(const char *path)
{
    char room[PATH_MAX];

    return below(room, path) && !access(room, F_OK);
}

// Where a path is really, and itself if it is none of those that are shown.
static const char *place(char *room, const char *path)
{
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (!strncmp(path, shown[i], strlen(shown[i])) && below(room, path))
            return room;
    return path;
}

static int open_at_place(const char *function, const char *path, int flags, mode_t mode)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))original(function);
    char room[PATH_MAX];

    return real(place(room, path), flags, mode);
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
    return open_at_place("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at_place("open64", path, flags, mode);
}

DIR *opendir(const char *path)
{
    DIR *(*real)(const char *) = (DIR *(*)(const char *))original("opendir");
    char room[PATH_MAX];

    return real(place(room, path));
}

// As drivers/char/broadcom/vcio.c takes letters, and the firmware answers them.
static int answer(int file, uint32_t *letter)
{
    uint32_t words = 6 + TEXT_BYTES / 4 + 1;

    if (letter[0] != 4 * words || letter[1] || letter[2] != GENCMD || letter[3] != TEXT_BYTES || letter[words - 1]) {
        errno = EINVAL;
        return -1;
    }
    letter[1] = 0x80000000;
    letter[5] = strcmp((char *)&letter[6], "get_throttled") != 0;
    memset(&letter[6], 0, TEXT_BYTES);
    return pread(file, &letter[6], TEXT_BYTES - 1, 0) < 0 ? -1 : 0;
}

int ioctl(int file, unsigned long request, ...)
{
    int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))original("ioctl");
    va_list arguments;

    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request == LETTER && getenv("MACHINE_DIR"))
        return answer(file, argument);
    return real(file, request, argument);
}

int statvfs(const char *restrict path, struct statvfs *restrict disk)
{
    int (*real)(const char *, struct statvfs *) = (int (*)(const char *, struct statvfs *))original("statvfs");
    unsigned long long all, available;
    char room[PATH_MAX];

    while (exists("/hang"))
        usleep(20000);
    int result = real(path, disk);
    FILE *file = result || !below(room, "/disk") ? NULL : fopen(room, "re");
    if (file) {
        if (fscanf(file, "%llu %llu", &all, &available) == 2) {
            disk->f_frsize = MEGABYTE;
            disk->f_blocks = all;
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
