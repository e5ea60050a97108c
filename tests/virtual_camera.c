// Simulates cameras without hardware. Preloaded into a program (LD_PRELOAD), this library makes /dev/videoN behave as a
// V4L2 capture device run by uvcvideo, for any program that reaches it through glibc. Tests steer the cameras
// through files while the program runs. Build it with:
//
//   cc -O2 -Wall -Wextra -Werror -shared -fPIC -o libvirtual_camera.so tests/virtual_camera.c -ldl -lpthread
//
// Environment:
//   VCAM_DIR=DIR   the control directory. Without it the library does nothing; with it every /dev/videoN is
//                  virtual, and real cameras are hidden.
//
// Control files, for node N:
//   DIR/N.camera   plugs the camera in. One line, `FORMAT WIDTHxHEIGHT FPS FILE [FPS...]`, for example
//                  `MJPG 480x320 25 /tmp/frames.mjpeg`. With FORMAT MJPG, FILE is JPEGs one after another; with
//                  any other (YUYV, UYVY) it is raw 4:2:2 frames. It plays in a loop, from its first frame at each
//                  STREAMON. S_PARM can choose the rates after FILE (no spaces in its name).
//                  Removing or rewriting N.camera unplugs the camera for programs that have /dev/videoN open:
//                  frames stop, poll reports POLLHUP, and every ioctl returns ENODEV from then on. Without
//                  N.camera the node does not exist.
//   DIR/N.stall    while it exists, no frame arrives.
//   DIR/N.hang     while it exists, STREAMON and DQBUF do not return, as in a driver that waits for a stuck device.
//   DIR/N.nospace  while it exists, STREAMON fails with ENOSPC, as on a USB bus with no bandwidth left.
//   DIR/N.cut      while it exists, frames arrive with half of their bytes. Raw frames are flagged as errors, as by
//                  uvcvideo, which cannot detect this for MJPG.
//   DIR/N.also     holds a second format to offer, at the same size and rates. S_FMT still sets the first one.
//   DIR/N.metadata while it exists, the node is the camera's metadata node.
//   DIR/N.pipeline while it exists, the node reports that it belongs to a pipeline that programs must set up.
//   DIR/N.denied   while it exists, open fails with EACCES, as for a user who is not in the group "video".
//   DIR/N.range    while it exists, the node offers all sizes from 32x32 to the camera's in steps of 2x2, and all rates
//                  from 1 to its first, as some drivers do. S_FMT and S_PARM still accept only the real ones.
//   DIR/by-id/NAME a symbolic link to /dev/videoN; /dev/v4l/by-id/NAME then opens and describes that node.
//   DIR/N.started  counts successful STREAMONs since the file was last removed.
//
// A thread named `vcam` generates the frames of a stream, so that tests can measure its CPU time separately.
//
// Differences from a driver: listing /dev does not show the nodes, sysfs does not have them, descriptors made by
// dup() are plain pipes, poll() without a stream waits instead of reporting POLLERR, and two processes do not see
// each other's streams. On 32-bit systems the library expects the traditional 32-bit time_t, as in Rust's libc.

// Some compilers define these by default, which makes the headers rename the functions defined here.
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#undef _FORTIFY_SOURCE
#define _GNU_SOURCE

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define CAPTURE V4L2_BUF_TYPE_VIDEO_CAPTURE
#define MAX_BUFFERS 32
#define MAX_FDS 4096
#define MAX_NODE 63
#define MAX_RATES 16
#define SECOND 1000000000LL
#define UNPLUG_CHECK (SECOND / 20) // maximum delay in noticing an unplug, at any frame rate
#define VIDEO_MAJOR 81

struct queue {
    unsigned count;
    unsigned indices[MAX_BUFFERS];
};

struct buffer {
    uint32_t flags; // current V4L2_BUF_FLAG_QUEUED, _DONE, _ERROR and _MAPPED
    uint32_t bytes_used;
    uint32_t sequence;
    struct timeval timestamp;
};

// A camera from plug to unplug, shared by all descriptors of its node.
struct camera {
    struct camera *next;
    int node;
    int users;
    bool gone;
    struct stat plug; // N.camera as it was read; a different file is a different camera
    uint32_t format;
    uint32_t width;
    uint32_t height;
    uint32_t image_size;
    struct v4l2_fract intervals[MAX_RATES];
    unsigned interval_count;
    unsigned interval; // index of the chosen interval
    char film[PATH_MAX];
    int owner; // the descriptor that requested the buffers, or -1
    unsigned buffer_count;
    struct buffer buffers[MAX_BUFFERS];
    int memory_fd;
    uint8_t *memory;
    size_t pitch; // bytes from one buffer to the next
    struct queue queued;
    struct queue done;
    struct stream *stream; // NULL while it is off
};

// A stream from STREAMON to STREAMOFF. Freed by the caller that stops it, once its thread has ended.
struct stream {
    struct camera *camera; // for its thread; valid only while not stopped
    bool stopped;
    pthread_t clock;
    uint32_t sequence;
    uint8_t *film;
    size_t film_size;
    size_t position; // of the next frame
};

// A descriptor given to the program: the read end of a pipe that holds one byte per done buffer. Unlike an eventfd it
// is never writable, and it reports POLLHUP when the write end is closed.
struct handle {
    _Atomic(struct camera *) camera; // NULL: not one of ours; read without the lock
    int write_end;
};

static struct {
    int (*openat)(int, const char *, int, ...);
    int (*close)(int);
    int (*ioctl)(int, unsigned long, ...);
    void *(*mmap64)(void *, size_t, int, int, int, off64_t);
    int (*faccessat)(int, const char *, int, int);
    int (*fstatat)(int, const char *, struct stat *, int);
    int (*fstatat64)(int, const char *, struct stat64 *, int);
    int (*statx)(int, const char *, int, unsigned, struct statx *);
} real;

static char directory[PATH_MAX / 2]; // VCAM_DIR
static struct handle handles[MAX_FDS];
static struct camera *cameras;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // protects all of the above, and everything they point to
static pthread_cond_t dequeuable = PTHREAD_COND_INITIALIZER;
static pthread_cond_t stopping; // wakes the frame clocks; uses CLOCK_MONOTONIC, as they do

// ---- Setup and control files ----

static void initialise(void)
{
    real.openat = dlsym(RTLD_NEXT, "openat");
    real.close = dlsym(RTLD_NEXT, "close");
    real.ioctl = dlsym(RTLD_NEXT, "ioctl");
    real.mmap64 = dlsym(RTLD_NEXT, "mmap64");
    real.faccessat = dlsym(RTLD_NEXT, "faccessat");
    real.fstatat = dlsym(RTLD_NEXT, "fstatat");
    real.fstatat64 = dlsym(RTLD_NEXT, "fstatat64");
    real.statx = dlsym(RTLD_NEXT, "statx");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stopping, &monotonic);
    const char *variable = getenv("VCAM_DIR");
    snprintf(directory, sizeof directory, "%s", variable ? variable : "");
}

// Every entry point calls this first, because constructors of other libraries may run before one of ours would.
static void setup(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
}

static void control_path(char path[PATH_MAX], int node, const char *name)
{
    snprintf(path, PATH_MAX, "%s/%d.%s", directory, node, name);
}

static bool control(int node, const char *name)
{
    char path[PATH_MAX];
    control_path(path, node, name);
    return access(path, F_OK) == 0;
}

static void count_start(int node)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    unsigned count = 0;
    control_path(path, node, "started");
    control_path(fresh, node, "started~");
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%u", &count) != 1)
            count = 0;
        fclose(file);
    }
    file = fopen(fresh, "we");
    if (!file)
        return;
    fprintf(file, "%u\n", count + 1);
    fclose(file);
    rename(fresh, path); // so that nobody reads an empty file
}

// Returns the part of `path` after `prefix`, or NULL.
static const char *after(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0 ? path + strlen(prefix) : NULL;
}

// Returns the node that a path names directly or as a link, or -1 if the path is not ours.
static int node_of(const char *path)
{
    char link[PATH_MAX], target[PATH_MAX] = "";
    const char *name = *directory && path ? after(path, "/dev/v4l/by-id/") : NULL;
    if (name) {
        snprintf(link, sizeof link, "%s/by-id/%.255s", directory, name);
        if (readlink(link, target, sizeof target - 1) < 0)
            return -1;
        path = target;
    }
    const char *number = *directory && path ? after(path, "/dev/video") : NULL;
    if (!number || !isdigit((unsigned char)*number))
        return -1;
    char *end;
    unsigned long node = strtoul(number, &end, 10);
    return *end == '\0' && node <= MAX_NODE ? (int)node : -1;
}

// ---- Cameras: plugged in, opened, unplugged, closed ----

static bool add_rate(struct camera *camera, double rate)
{
    if (!(rate >= 0.01 && rate <= 1000) || camera->interval_count == MAX_RATES)
        return false;
    bool whole = rate == (uint32_t)rate;
    struct v4l2_fract interval = {whole ? 1 : 1000, (uint32_t)(whole ? rate : rate * 1000 + 0.5)};
    camera->intervals[camera->interval_count++] = interval;
    return true;
}

static bool parse(struct camera *camera, const char *line)
{
    char format[5];
    double rate;
    int length;
    int found = sscanf(line, "%4s %ux%u %lf %4095s%n", format, &camera->width, &camera->height, &rate, camera->film,
                       &length);
    if (found != 5)
        return false;
    if (strlen(format) != 4 || !camera->width || !camera->height || camera->width > 8192 || camera->height > 8192)
        return false;
    camera->format = v4l2_fourcc(format[0], format[1], format[2], format[3]);
    camera->image_size = camera->width * camera->height * 2;
    if (camera->format == V4L2_PIX_FMT_MJPEG)
        camera->image_size += 4096; // a tiny picture's headers are larger than its pixels
    bool valid = add_rate(camera, rate);
    char *end;
    for (const char *rest = line + length; rate = strtod(rest, &end), end != rest; rest = end)
        valid = valid && add_rate(camera, rate);
    return valid;
}

static bool read_description(struct camera *camera)
{
    char path[PATH_MAX], line[2 * PATH_MAX] = "";
    control_path(path, camera->node, "camera");
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool valid = fstat(fileno(file), &camera->plug) == 0 && fgets(line, sizeof line, file) && parse(camera, line);
    fclose(file);
    if (!valid && *line) // an empty file is still being written
        fprintf(stderr, "virtual_camera: %s: not FORMAT WIDTHxHEIGHT FPS FILE [FPS...]\n", path);
    return valid;
}

static bool plugged_in(const struct camera *camera)
{
    char path[PATH_MAX];
    struct stat now;
    const struct stat *then = &camera->plug;
    control_path(path, camera->node, "camera");
    return stat(path, &now) == 0 && now.st_dev == then->st_dev && now.st_ino == then->st_ino
        && now.st_mtim.tv_sec == then->st_mtim.tv_sec && now.st_mtim.tv_nsec == then->st_mtim.tv_nsec;
}

static void hang_up(struct handle *handle)
{
    if (handle->write_end >= 0)
        close(handle->write_end);
    handle->write_end = -1;
}

static bool is_gone(struct camera *camera)
{
    if (camera->gone || plugged_in(camera))
        return camera->gone;
    camera->gone = true;
    for (int fd = 0; fd < MAX_FDS; fd++) {
        if (handles[fd].camera == camera)
            hang_up(&handles[fd]);
    }
    pthread_cond_broadcast(&dequeuable);
    return true;
}

static struct camera *use_camera(int node)
{
    struct camera *camera = cameras;
    while (camera && (camera->node != node || is_gone(camera)))
        camera = camera->next;
    if (!camera) {
        camera = calloc(1, sizeof *camera);
        if (!camera)
            return NULL;
        camera->node = node;
        camera->owner = -1;
        if (!read_description(camera)) {
            free(camera);
            return NULL;
        }
        camera->next = cameras;
        cameras = camera;
    }
    camera->users++;
    return camera;
}

static void leave_camera(struct camera *camera)
{
    if (--camera->users > 0)
        return;
    struct camera **link = &cameras;
    while (*link != camera)
        link = &(*link)->next;
    *link = camera->next;
    free(camera);
}

static int open_camera(int node, int flags)
{
    int ends[2];
    if (control(node, "denied"))
        return -EACCES;
    if (pipe2(ends, O_CLOEXEC | (flags & O_NONBLOCK)) < 0)
        return -errno;
    pthread_mutex_lock(&lock);
    struct camera *camera = ends[0] < MAX_FDS ? use_camera(node) : NULL;
    if (camera) {
        handles[ends[0]].write_end = ends[1];
        handles[ends[0]].camera = camera;
    }
    pthread_mutex_unlock(&lock);
    if (!camera) {
        close(ends[0]);
        close(ends[1]);
        return ends[0] < MAX_FDS ? -ENOENT : -EMFILE;
    }
    if (!(flags & O_CLOEXEC))
        fcntl(ends[0], F_SETFD, 0);
    return ends[0];
}

// ---- Buffers ----

static void put(struct queue *queue, unsigned index)
{
    queue->indices[queue->count++] = index;
}

static unsigned take(struct queue *queue)
{
    unsigned first = queue->indices[0];
    queue->count--;
    memmove(queue->indices, queue->indices + 1, queue->count * sizeof first);
    return first;
}

static void free_buffers(struct camera *camera)
{
    if (!camera->buffer_count)
        return;
    munmap(camera->memory, camera->pitch * camera->buffer_count);
    close(camera->memory_fd); // the program's mappings stay valid, as with a driver
    memset(camera->buffers, 0, sizeof camera->buffers);
    camera->queued.count = 0;
    camera->buffer_count = 0;
    camera->owner = -1;
}

static int allocate_buffers(struct camera *camera, unsigned count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pitch = (camera->image_size + page - 1) / page * page;
    int fd = memfd_create("virtual camera", MFD_CLOEXEC);
    if (fd < 0)
        return -ENOMEM;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, (off_t)(pitch * count)) == 0)
        memory = mmap(NULL, pitch * count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        close(fd);
        return -ENOMEM;
    }
    camera->memory_fd = fd;
    camera->memory = memory;
    camera->pitch = pitch;
    camera->buffer_count = count;
    return 0;
}

static void *map_buffer(struct camera *camera, void *address, size_t length, int protection, int flags, off64_t offset)
{
    uint64_t index = camera->buffer_count ? (uint64_t)offset / camera->pitch : 0;
    if (index >= camera->buffer_count || (uint64_t)offset % camera->pitch || length > camera->pitch
        || !(flags & MAP_SHARED)) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    void *memory = real.mmap64(address, length, protection, flags, camera->memory_fd, offset);
    if (memory != MAP_FAILED)
        camera->buffers[index].flags |= V4L2_BUF_FLAG_MAPPED;
    return memory;
}

// ---- Streams ----

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

// Sleeps without the lock until the next frame is due. Returns false when the stream has ended.
static bool wait_for_frame(struct stream *stream, long long due)
{
    while (!stream->stopped && !is_gone(stream->camera)) {
        long long until = now();
        if (until >= due)
            return true;
        until = until + UNPLUG_CHECK < due ? until + UNPLUG_CHECK : due;
        struct timespec time = {(time_t)(until / SECOND), (long)(until % SECOND)};
        pthread_cond_timedwait(&stopping, &lock, &time);
    }
    return false;
}

static size_t frame_size(const struct stream *stream)
{
    const uint8_t *frame = stream->film + stream->position;
    size_t left = stream->film_size - stream->position;
    if (stream->camera->format != V4L2_PIX_FMT_MJPEG)
        return left < stream->camera->image_size ? 0 : stream->camera->image_size;
    // Within a picture's data, no marker follows an end-of-image.
    const uint8_t *end = memmem(frame, left, "\xff\xd9\xff\xd8", 4);
    return end ? (size_t)(end - frame) + 2 : left;
}

static void fill(struct camera *camera, unsigned index, const uint8_t *frame, size_t size)
{
    struct buffer *buffer = &camera->buffers[index];
    bool raw = camera->format != V4L2_PIX_FMT_MJPEG;
    buffer->flags &= ~(uint32_t)(V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_ERROR);
    buffer->flags |= V4L2_BUF_FLAG_DONE;
    if (control(camera->node, "cut"))
        size /= 2;
    if (size > camera->image_size || (raw && size < camera->image_size))
        buffer->flags |= V4L2_BUF_FLAG_ERROR;
    buffer->bytes_used = size < camera->image_size ? (uint32_t)size : camera->image_size;
    memcpy(camera->memory + index * camera->pitch, frame, buffer->bytes_used);
}

static void deliver_frame(struct stream *stream, long long due)
{
    struct camera *camera = stream->camera;
    if (control(camera->node, "stall"))
        return;
    uint32_t sequence = stream->sequence++;
    size_t size = frame_size(stream);
    const uint8_t *frame = stream->film + stream->position;
    stream->position += size;
    if (stream->position == stream->film_size || !frame_size(stream))
        stream->position = 0;
    if (!camera->queued.count)
        return; // the frame is lost, visible as a gap in the sequence
    unsigned index = take(&camera->queued);
    fill(camera, index, frame, size);
    camera->buffers[index].sequence = sequence;
    camera->buffers[index].timestamp = (struct timeval){(time_t)(due / SECOND), (suseconds_t)(due % SECOND / 1000)};
    put(&camera->done, index);
    if (write(handles[camera->owner].write_end, "", 1) != 1)
        perror("virtual_camera: write");
    pthread_cond_broadcast(&dequeuable);
}

// Staggers cameras by a quarter of an interval, whenever they were started, so that their frames do not coincide.
static long long first_due(const struct stream *stream, long long step)
{
    int node = stream->stopped ? 0 : stream->camera->node;
    return (now() / step + 1) * step + step * (node % 4) / 4;
}

// Makes up for missed ticks after the program was stopped: fills its queued buffers first, then loses frames.
static void *run_clock(void *argument)
{
    struct stream *stream = argument;
    pthread_mutex_lock(&lock);
    struct v4l2_fract interval = {0, 1};
    if (!stream->stopped)
        interval = stream->camera->intervals[stream->camera->interval];
    long long step = SECOND * interval.numerator / interval.denominator;
    long long due = first_due(stream, step);
    while (wait_for_frame(stream, due)) {
        deliver_frame(stream, due);
        due += step;
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static bool load_film(struct stream *stream)
{
    struct stat status;
    int fd = open(stream->camera->film, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0)
        stream->film_size = (size_t)status.st_size;
    void *film = mmap(NULL, stream->film_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (film == MAP_FAILED)
        return false;
    stream->film = film;
    return frame_size(stream) > 0;
}

static void free_stream(struct stream *stream)
{
    if (stream->film)
        munmap(stream->film, stream->film_size);
    free(stream);
}

static int start_clock(struct stream *stream)
{
    sigset_t all, before;
    sigfillset(&all); // leaves signals to the program's own threads
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&stream->clock, NULL, run_clock, stream);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (result == 0)
        pthread_setname_np(stream->clock, "vcam");
    return -result;
}

static int start_stream(struct camera *camera)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return -ENOMEM;
    stream->camera = camera;
    int result = -EIO;
    if (load_film(stream))
        result = start_clock(stream);
    else
        fprintf(stderr, "virtual_camera: %s: no frames of %ux%u\n", camera->film, camera->width, camera->height);
    if (result < 0) {
        free_stream(stream);
        return result;
    }
    camera->stream = stream;
    return 0;
}

static void give_back_buffers(struct camera *camera)
{
    char bytes[MAX_BUFFERS];
    if (camera->done.count && read(camera->owner, bytes, camera->done.count) < 0)
        perror("virtual_camera: read");
    camera->done.count = 0;
    camera->queued.count = 0;
    for (unsigned i = 0; i < camera->buffer_count; i++)
        camera->buffers[i].flags &= V4L2_BUF_FLAG_MAPPED;
}

// Releases the lock while the thread ends.
static void stop_stream(struct camera *camera)
{
    struct stream *stream = camera->stream;
    give_back_buffers(camera); // including those queued for a stream that never started
    if (!stream)
        return;
    camera->stream = NULL;
    stream->stopped = true;
    pthread_cond_broadcast(&stopping);
    pthread_cond_broadcast(&dequeuable);
    pthread_mutex_unlock(&lock);
    pthread_join(stream->clock, NULL);
    pthread_mutex_lock(&lock);
    free_stream(stream);
}

static void close_camera(int fd)
{
    pthread_mutex_lock(&lock);
    struct camera *camera = handles[fd].camera;
    if (camera) {
        if (camera->owner == fd) {
            stop_stream(camera);
            free_buffers(camera);
        }
        handles[fd].camera = NULL;
        hang_up(&handles[fd]);
        leave_camera(camera);
    }
    pthread_mutex_unlock(&lock);
}

// ---- Queries ----

// Returns the format in N.also, or 0.
static uint32_t other_format(const struct camera *camera)
{
    char path[PATH_MAX], name[5] = "";
    control_path(path, camera->node, "also");
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    bool valid = fscanf(file, "%4s", name) == 1 && strlen(name) == 4;
    fclose(file);
    return valid ? v4l2_fourcc(name[0], name[1], name[2], name[3]) : 0;
}

static bool offers(const struct camera *camera, uint32_t format)
{
    return format && (format == camera->format || format == other_format(camera));
}

static int query_capabilities(const struct camera *camera, struct v4l2_capability *answer)
{
    memset(answer, 0, sizeof *answer);
    strcpy((char *)answer->driver, "uvcvideo");
    snprintf((char *)answer->card, sizeof answer->card, "Virtual Camera %d", camera->node);
    snprintf((char *)answer->bus_info, sizeof answer->bus_info, "usb-0000:01:00.0-1.%d", camera->node);
    answer->version = 0x060100;
    answer->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    if (control(camera->node, "metadata"))
        answer->device_caps = V4L2_CAP_META_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    if (control(camera->node, "pipeline"))
        answer->device_caps |= V4L2_CAP_IO_MC;
    answer->capabilities = V4L2_CAP_VIDEO_CAPTURE | answer->device_caps | V4L2_CAP_DEVICE_CAPS; // of all nodes
    return 0;
}

static int enumerate_format(const struct camera *camera, struct v4l2_fmtdesc *format)
{
    uint32_t own = format->index == 0 ? camera->format : other_format(camera);
    if (format->type != CAPTURE || format->index > 1 || !own)
        return -EINVAL;
    bool compressed = own == V4L2_PIX_FMT_MJPEG;
    uint32_t index = format->index;
    memset(format, 0, sizeof *format);
    format->index = index;
    format->type = CAPTURE;
    format->pixelformat = own;
    format->flags = compressed ? V4L2_FMT_FLAG_COMPRESSED : 0;
    if (compressed)
        strcpy((char *)format->description, "Motion-JPEG");
    else
        snprintf((char *)format->description, sizeof format->description, "%.4s 4:2:2", (const char *)&own);
    return 0;
}

static int enumerate_size(const struct camera *camera, struct v4l2_frmsizeenum *size)
{
    if (size->index > 0 || !offers(camera, size->pixel_format))
        return -EINVAL;
    if (control(camera->node, "range")) {
        size->type = V4L2_FRMSIZE_TYPE_STEPWISE;
        size->stepwise = (struct v4l2_frmsize_stepwise){32, camera->width, 2, 32, camera->height, 2};
    } else {
        size->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        size->discrete = (struct v4l2_frmsize_discrete){camera->width, camera->height};
    }
    memset(size->reserved, 0, sizeof size->reserved);
    return 0;
}

static int enumerate_interval(const struct camera *camera, struct v4l2_frmivalenum *interval)
{
    if (interval->index >= camera->interval_count || !offers(camera, interval->pixel_format)
        || interval->width != camera->width || interval->height != camera->height)
        return -EINVAL;
    if (control(camera->node, "range")) {
        interval->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
        interval->stepwise = (struct v4l2_frmival_stepwise){camera->intervals[0], {1, 1}, {1, 1}};
    } else {
        interval->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        interval->discrete = camera->intervals[interval->index];
    }
    memset(interval->reserved, 0, sizeof interval->reserved);
    return 0;
}

static int enumerate_input(struct v4l2_input *input)
{
    if (input->index > 0)
        return -EINVAL;
    memset(input, 0, sizeof *input);
    strcpy((char *)input->name, "Camera 1");
    input->type = V4L2_INPUT_TYPE_CAMERA;
    return 0;
}

// ---- Settings ----

// Always returns the camera's only format, as drivers do for an unsupported request.
static int get_format(const struct camera *camera, struct v4l2_format *format)
{
    if (format->type != CAPTURE)
        return -EINVAL;
    memset(&format->fmt, 0, sizeof format->fmt);
    format->fmt.pix.width = camera->width;
    format->fmt.pix.height = camera->height;
    format->fmt.pix.pixelformat = camera->format;
    format->fmt.pix.field = V4L2_FIELD_NONE;
    format->fmt.pix.bytesperline = camera->format == V4L2_PIX_FMT_MJPEG ? 0 : camera->width * 2;
    format->fmt.pix.sizeimage = camera->image_size;
    format->fmt.pix.colorspace = V4L2_COLORSPACE_SRGB;
    format->fmt.pix.priv = V4L2_PIX_FMT_PRIV_MAGIC;
    return 0;
}

static int set_format(const struct camera *camera, struct v4l2_format *format)
{
    int result = get_format(camera, format);
    return result == 0 && camera->buffer_count ? -EBUSY : result;
}

static int get_rate(const struct camera *camera, struct v4l2_streamparm *parameters)
{
    if (parameters->type != CAPTURE)
        return -EINVAL;
    memset(&parameters->parm, 0, sizeof parameters->parm);
    parameters->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
    parameters->parm.capture.timeperframe = camera->intervals[camera->interval];
    return 0;
}

// Returns the difference between two intervals in seconds.
static double distance(struct v4l2_fract a, struct v4l2_fract b)
{
    double difference = (double)a.numerator / a.denominator - (double)b.numerator / b.denominator;
    return difference < 0 ? -difference : difference;
}

static int set_rate(struct camera *camera, struct v4l2_streamparm *parameters)
{
    if (parameters->type != CAPTURE)
        return -EINVAL;
    if (camera->stream)
        return -EBUSY;
    struct v4l2_fract wanted = parameters->parm.capture.timeperframe;
    camera->interval = 0;
    for (unsigned i = 1; i < camera->interval_count && wanted.numerator && wanted.denominator; i++) {
        if (distance(camera->intervals[i], wanted) < distance(camera->intervals[camera->interval], wanted))
            camera->interval = i;
    }
    return get_rate(camera, parameters);
}

// ---- Streaming ----

static bool busy(const struct camera *camera, int fd)
{
    return camera->owner >= 0 && camera->owner != fd;
}

static int request_buffers(struct camera *camera, int fd, struct v4l2_requestbuffers *request)
{
    if (request->type != CAPTURE || request->memory != V4L2_MEMORY_MMAP)
        return -EINVAL;
    if (busy(camera, fd) || camera->stream)
        return -EBUSY;
    free_buffers(camera);
    request->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP | V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS;
    memset((char *)request + sizeof *request - 4, 0, 4); // flags and reserved bytes, for any version of the header
    if (request->count > MAX_BUFFERS)
        request->count = MAX_BUFFERS;
    if (!request->count)
        return 0;
    int result = allocate_buffers(camera, request->count);
    if (result == 0)
        camera->owner = fd;
    return result;
}

static int describe_buffer(const struct camera *camera, unsigned index, struct v4l2_buffer *answer)
{
    const struct buffer *buffer = &camera->buffers[index];
    memset(answer, 0, sizeof *answer);
    answer->index = index;
    answer->type = CAPTURE;
    answer->bytesused = buffer->bytes_used;
    answer->flags = buffer->flags | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_SOE;
    answer->field = V4L2_FIELD_NONE;
    answer->timestamp = buffer->timestamp;
    answer->sequence = buffer->sequence;
    answer->memory = V4L2_MEMORY_MMAP;
    answer->m.offset = (uint32_t)(index * camera->pitch);
    answer->length = camera->image_size;
    return 0;
}

static int query_buffer(const struct camera *camera, struct v4l2_buffer *buffer)
{
    if (buffer->type != CAPTURE || buffer->index >= camera->buffer_count)
        return -EINVAL;
    return describe_buffer(camera, buffer->index, buffer);
}

static int queue_buffer(struct camera *camera, int fd, struct v4l2_buffer *buffer)
{
    if (busy(camera, fd))
        return -EBUSY;
    if (buffer->type != CAPTURE || buffer->memory != V4L2_MEMORY_MMAP || buffer->index >= camera->buffer_count)
        return -EINVAL;
    uint32_t *flags = &camera->buffers[buffer->index].flags;
    if (*flags & (V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_DONE))
        return -EINVAL;
    *flags &= ~(uint32_t)V4L2_BUF_FLAG_ERROR;
    *flags |= V4L2_BUF_FLAG_QUEUED;
    put(&camera->queued, buffer->index);
    return describe_buffer(camera, buffer->index, buffer);
}

static int take_done(struct camera *camera, int fd, struct v4l2_buffer *buffer)
{
    char byte;
    if (camera->gone)
        return -ENODEV;
    if (!camera->stream)
        return -EINVAL;
    if (!camera->done.count || read(fd, &byte, 1) != 1)
        return -EAGAIN;
    unsigned index = take(&camera->done);
    camera->buffers[index].flags &= ~(uint32_t)V4L2_BUF_FLAG_DONE;
    return describe_buffer(camera, index, buffer);
}

// Blocks while N.hang exists, without the lock.
static void hang(const struct camera *camera)
{
    while (control(camera->node, "hang")) {
        pthread_mutex_unlock(&lock);
        nanosleep(&(struct timespec){.tv_nsec = SECOND / 100}, NULL);
        pthread_mutex_lock(&lock);
    }
}

static int dequeue_buffer(struct camera *camera, int fd, struct v4l2_buffer *buffer)
{
    if (busy(camera, fd))
        return -EBUSY;
    if (buffer->type != CAPTURE || buffer->memory != V4L2_MEMORY_MMAP)
        return -EINVAL;
    bool blocking = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
    hang(camera);
    while (blocking && camera->stream && !camera->done.count && !camera->gone)
        pthread_cond_wait(&dequeuable, &lock);
    return take_done(camera, fd, buffer);
}

static int stream_on(struct camera *camera, int fd, const int *type)
{
    hang(camera);
    if (is_gone(camera))
        return -ENODEV;
    if (busy(camera, fd))
        return -EBUSY;
    if (*type != CAPTURE || !camera->buffer_count)
        return -EINVAL;
    if (camera->stream)
        return 0;
    if (control(camera->node, "nospace"))
        return -ENOSPC;
    int result = start_stream(camera);
    if (result == 0)
        count_start(camera->node);
    return result;
}

static int stream_off(struct camera *camera, int fd, const int *type)
{
    if (busy(camera, fd))
        return -EBUSY;
    if (*type != CAPTURE)
        return -EINVAL;
    stop_stream(camera);
    return 0;
}

// ---- Functions that the program calls ----

static int control_camera(struct camera *camera, int fd, uint32_t request, void *argument)
{
    switch (request) {
    case VIDIOC_QUERYCAP: return query_capabilities(camera, argument);
    case VIDIOC_ENUM_FMT: return enumerate_format(camera, argument);
    case VIDIOC_ENUM_FRAMESIZES: return enumerate_size(camera, argument);
    case VIDIOC_ENUM_FRAMEINTERVALS: return enumerate_interval(camera, argument);
    case VIDIOC_ENUMINPUT: return enumerate_input(argument);
    case VIDIOC_G_INPUT: *(int *)argument = 0; return 0;
    case VIDIOC_S_INPUT: return *(int *)argument ? -EINVAL : 0;
    case VIDIOC_G_PRIORITY: *(int *)argument = V4L2_PRIORITY_DEFAULT; return 0;
    case VIDIOC_G_FMT:
    case VIDIOC_TRY_FMT: return get_format(camera, argument);
    case VIDIOC_S_FMT: return set_format(camera, argument);
    case VIDIOC_G_PARM: return get_rate(camera, argument);
    case VIDIOC_S_PARM: return set_rate(camera, argument);
    case VIDIOC_REQBUFS: return request_buffers(camera, fd, argument);
    case VIDIOC_QUERYBUF: return query_buffer(camera, argument);
    case VIDIOC_QBUF: return queue_buffer(camera, fd, argument);
    case VIDIOC_DQBUF: return dequeue_buffer(camera, fd, argument);
    case VIDIOC_STREAMON: return stream_on(camera, fd, argument);
    case VIDIOC_STREAMOFF: return stream_off(camera, fd, argument);
    case VIDIOC_QUERYCTRL: return -EINVAL; // the call is supported, the control is not
    default: return -ENOTTY;
    }
}

static bool is_ours(int fd)
{
    setup();
    return fd >= 0 && fd < MAX_FDS && handles[fd].camera;
}

static int with_errno(int result)
{
    if (result >= 0)
        return result;
    errno = -result;
    return -1;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (!is_ours(fd) || _IOC_TYPE(request) != 'V')
        return real.ioctl(fd, request, argument);
    if (_IOC_SIZE(request) && !argument)
        return with_errno(-EFAULT);
    int result = -ENODEV;
    pthread_mutex_lock(&lock);
    struct camera *camera = handles[fd].camera;
    if (camera && !is_gone(camera)) {
        camera->users++; // keeps it, even if another thread closes it while this one waits
        result = control_camera(camera, fd, (uint32_t)request, argument);
        leave_camera(camera);
    }
    pthread_mutex_unlock(&lock);
    return with_errno(result);
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    if (!is_ours(fd))
        return real.mmap64(address, length, protection, flags, fd, offset);
    void *memory = MAP_FAILED;
    pthread_mutex_lock(&lock);
    struct camera *camera = handles[fd].camera;
    if (camera && !is_gone(camera))
        memory = map_buffer(camera, address, length, protection, flags, offset);
    else
        errno = ENODEV;
    pthread_mutex_unlock(&lock);
    return memory;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap64(address, length, protection, flags, fd, offset);
}

int close(int fd)
{
    if (is_ours(fd))
        close_camera(fd);
    return real.close(fd);
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

static int open_any(int at, const char *path, int flags, mode_t mode)
{
    setup();
    int node = node_of(path);
    return node < 0 ? real.openat(at, path, flags, mode) : with_errno(open_camera(node, flags));
}

int openat(int at, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_any(at, path, flags, mode);
}

int openat64(int at, const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_any(at, path, flags | O_LARGEFILE, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_any(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags | O_LARGEFILE, 0);
}

int faccessat(int at, const char *path, int mode, int flags)
{
    setup();
    int node = node_of(path);
    if (node < 0)
        return real.faccessat(at, path, mode, flags);
    return with_errno(control(node, "camera") ? 0 : -ENOENT);
}

int access(const char *path, int mode)
{
    return faccessat(AT_FDCWD, path, mode, 0);
}

// Describes a node by /dev/null's status with its own device number, which avoids filling in each kind of structure.
// Returns the node, -1 for a path that is not ours, or -2 for a node that does not exist.
static int described_by(int at, const char **path)
{
    int node = node_of(*path);
    if (*path && **path == '\0' && is_ours(at)) {
        pthread_mutex_lock(&lock);
        const struct camera *camera = handles[at].camera;
        node = camera ? camera->node : -1;
        pthread_mutex_unlock(&lock);
    } else if (node >= 0 && !control(node, "camera")) {
        return -2;
    }
    if (node >= 0)
        *path = "/dev/null";
    return node;
}

int fstatat(int at, const char *path, struct stat *status, int flags)
{
    setup();
    int node = described_by(at, &path);
    int result = node < -1 ? with_errno(-ENOENT) : real.fstatat(at, path, status, flags);
    if (result == 0 && node >= 0)
        status->st_rdev = makedev(VIDEO_MAJOR, node);
    return result;
}

int fstatat64(int at, const char *path, struct stat64 *status, int flags)
{
    setup();
    int node = described_by(at, &path);
    int result = node < -1 ? with_errno(-ENOENT) : real.fstatat64(at, path, status, flags);
    if (result == 0 && node >= 0)
        status->st_rdev = makedev(VIDEO_MAJOR, node);
    return result;
}

// Rust's standard library probes statx with a null path, which its declaration allows the compiler to rule out.
int statx_maybe_null(int at, const char *path, int flags, unsigned mask, struct statx *status) __asm__("statx");
int statx_maybe_null(int at, const char *path, int flags, unsigned mask, struct statx *status)
{
    setup();
    int node = described_by(at, &path);
    int result = node < -1 ? with_errno(-ENOENT) : real.statx(at, path, flags, mask, status);
    if (result == 0 && node >= 0) {
        status->stx_rdev_major = VIDEO_MAJOR;
        status->stx_rdev_minor = (uint32_t)node;
    }
    return result;
}

int stat(const char *path, struct stat *status)
{
    return fstatat(AT_FDCWD, path, status, 0);
}

int stat64(const char *path, struct stat64 *status)
{
    return fstatat64(AT_FDCWD, path, status, 0);
}

int lstat(const char *path, struct stat *status)
{
    return fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}

int lstat64(const char *path, struct stat64 *status)
{
    return fstatat64(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}

int fstat(int fd, struct stat *status)
{
    return fstatat(fd, "", status, AT_EMPTY_PATH);
}

int fstat64(int fd, struct stat64 *status)
{
    return fstatat64(fd, "", status, AT_EMPTY_PATH);
}
