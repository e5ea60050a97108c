// The minimal program that sends camera frames: it writes the length and the bytes of each filled buffer to one TCP
// connection per camera. `floor PORT NODES` reads /dev/video0 to /dev/video(NODES-1). Built with -DZEROMQ, it is the
// minimal program over ZeroMQ: it sends each buffer as the last of three message parts over one PAIR socket.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef ZEROMQ
#include <zmq.h>
#endif

#define BUFFERS 4
#define MAX_NODES 8

struct camera {
    int device;
    int connection;
    void *buffers[BUFFERS];
};

static void check(int good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static struct v4l2_buffer buffer(unsigned index)
{
    return (struct v4l2_buffer){.index = index, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
}

static int start(struct camera *camera, int node)
{
    char path[32];
    snprintf(path, sizeof path, "/dev/video%d", node);
    camera->device = open(path, O_RDWR | O_NONBLOCK);
    check(camera->device >= 0, path);
    struct v4l2_requestbuffers request = {
        .count = BUFFERS, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP};
    check(ioctl(camera->device, VIDIOC_REQBUFS, &request) == 0 && request.count == BUFFERS, "VIDIOC_REQBUFS");
    for (unsigned i = 0; i < BUFFERS; i++) {
        struct v4l2_buffer query = buffer(i);
        check(ioctl(camera->device, VIDIOC_QUERYBUF, &query) == 0, "VIDIOC_QUERYBUF");
        camera->buffers[i] = mmap(NULL, query.length, PROT_READ, MAP_SHARED, camera->device, query.m.offset);
        check(camera->buffers[i] != MAP_FAILED, "mmap");
        check(ioctl(camera->device, VIDIOC_QBUF, &query) == 0, "VIDIOC_QBUF");
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    check(ioctl(camera->device, VIDIOC_STREAMON, &type) == 0, "VIDIOC_STREAMON");
    return camera->device;
}

#ifdef ZEROMQ
static void *pair;

static int connect_to(uint16_t port)
{
    char address[64];
    snprintf(address, sizeof address, "tcp://127.0.0.1:%d", port);
    if (!pair) {
        pair = zmq_socket(zmq_ctx_new(), ZMQ_PAIR);
        check(pair && zmq_connect(pair, address) == 0, address);
    }
    return -1;
}

static void send_buffer(int connection, const void *frame, size_t length)
{
    static const char topic[] = "frame/bench/camera-0", header[240];
    (void)connection;
    check(zmq_send(pair, topic, sizeof topic - 1, ZMQ_SNDMORE) >= 0, "zmq_send");
    check(zmq_send(pair, header, sizeof header, ZMQ_SNDMORE) >= 0, "zmq_send");
    check(zmq_send(pair, frame, length, 0) >= 0, "zmq_send");
}
#else
static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    int one = 1, connection = socket(AF_INET, SOCK_STREAM, 0);
    check(connection >= 0 && connect(connection, (struct sockaddr *)&address, sizeof address) == 0, "connect");
    check(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0, "TCP_NODELAY");
    return connection;
}

static void send_buffer(int connection, const void *frame, size_t length)
{
    uint32_t network_order = htonl((uint32_t)length);
    struct iovec parts[] = {{&network_order, sizeof network_order}, {(void *)frame, length}};
    // The socket is blocking, so writev writes everything.
    check(writev(connection, parts, 2) == (ssize_t)(sizeof network_order + length), "writev");
}
#endif

static void send_frame(const struct camera *camera)
{
    struct v4l2_buffer filled = buffer(0);
    check(ioctl(camera->device, VIDIOC_DQBUF, &filled) == 0, "VIDIOC_DQBUF");
    send_buffer(camera->connection, camera->buffers[filled.index], filled.bytesused);
    check(ioctl(camera->device, VIDIOC_QBUF, &filled) == 0, "VIDIOC_QBUF");
}

int main(int count, char **arguments)
{
    struct camera cameras[MAX_NODES];
    struct pollfd polled[MAX_NODES];
    int nodes = count == 3 ? atoi(arguments[2]) : 0;
    errno = EINVAL;
    check(nodes > 0 && nodes <= MAX_NODES, "floor PORT NODES");
    for (int i = 0; i < nodes; i++) {
        cameras[i].connection = connect_to((uint16_t)atoi(arguments[1]));
        polled[i] = (struct pollfd){.fd = start(&cameras[i], i), .events = POLLIN};
    }
    for (;;) {
        check(poll(polled, (nfds_t)nodes, -1) > 0, "poll");
        for (int i = 0; i < nodes; i++) {
            if (polled[i].revents)
                send_frame(&cameras[i]);
        }
    }
}
