// Simulates a clock that was never set, is corrected, or jumps. Preloaded into a program (LD_PRELOAD), this library
// shifts the wall clock and sets its synchronisation state. A file controls both while the program runs. Build it with:
//
//   cc -O2 -Wall -Wextra -Werror -shared -fPIC -o libclock.so tests/clock.c -ldl -lpthread
//
// Environment:
//   CLOCK_FILE=FILE  one line, `SECONDS STATE BOOT`: the wall clock's offset from the machine's, the result of adjtimex
//                    (5: not synchronised, 0: synchronised), and the content of /proc/sys/kernel/random/boot_id.
//                    Without the variable the library does nothing. Replace the file by renaming a new one over it.
//
// The monotonic clock stays unchanged, because setting a wall clock does not move it.

// Some compilers define these by default, which makes the headers rename the functions defined here.
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

struct setting {
	long long seconds;
	int state;
	char boot[64];
};

// Uses system calls, because open is defined below.
static bool read_setting(struct setting *setting)
{
	const char *path = getenv("CLOCK_FILE");
	char line[128];
	int saved_errno = errno;
	bool found = false;

	if (path) {
		int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
		if (file >= 0) {
			long length = syscall(SYS_read, file, line, sizeof line - 1);
			line[length > 0 ? length : 0] = 0;
			found = sscanf(line, "%lld %d %63s", &setting->seconds, &setting->state, setting->boot) == 3;
			syscall(SYS_close, file);
		}
	}
	errno = saved_errno;
	return found;
}

static void *original(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (!function)
		abort();
	return function;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	static int (*real)(clockid_t, struct timespec *);
	struct setting setting;

	if (!real)
		real = (int (*)(clockid_t, struct timespec *))original("clock_gettime");
	int result = real(clock, time);
	bool is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
	if (!result && is_wall && read_setting(&setting))
		time->tv_sec += setting.seconds;
	return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now))
		return -1;
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *time)
{
	struct timespec now;

	if (clock_gettime(CLOCK_REALTIME, &now))
		return (time_t)-1;
	if (time)
		*time = now.tv_sec;
	return now.tv_sec;
}

int adjtimex(struct timex *timex)
{
	static int (*real)(struct timex *);
	struct setting setting;

	if (!real)
		real = (int (*)(struct timex *))original("adjtimex");
	int result = real(timex);
	return result >= 0 && read_setting(&setting) ? setting.state : result;
}

// Returns a file in memory with the boot id.
static int boot_id(const char *boot)
{
	int file = memfd_create("boot_id", MFD_CLOEXEC);

	if (file >= 0 && (write(file, boot, strlen(boot)) < 0 || lseek(file, 0, SEEK_SET) < 0)) {
		close(file);
		return -1;
	}
	return file;
}

static int open_file(const char *path, int flags, mode_t mode)
{
	struct setting setting;

	if (!strcmp(path, "/proc/sys/kernel/random/boot_id") && read_setting(&setting))
		return boot_id(setting.boot);
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static bool has_mode(int flags)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
}

int open(const char *path, int flags, ...)
{
	va_list arguments;

	va_start(arguments, flags);
	mode_t mode = has_mode(flags) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;

	va_start(arguments, flags);
	mode_t mode = has_mode(flags) ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return open_file(path, flags | O_LARGEFILE, mode);
}
