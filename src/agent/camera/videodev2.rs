//! The parts of the kernel's linux/videodev2.h that this crate uses. Fields keep the kernel's names.
//!
//! These structs are written by hand because only a few are needed, and generated bindings would need libclang. A
//! struct's size is part of its ioctl number, so the kernel rejects a wrong one (ENOTTY).

use std::ffi::{c_int, c_ulong};
use std::mem::size_of;

use nix::libc::timeval;

pub const VIDEO_CAPTURE: u32 = 1;
pub static VIDEO_CAPTURE_INT: c_int = 1;
pub const MEMORY_MMAP: u32 = 1;
pub const FIELD_NONE: u32 = 1;
pub const CAP_VIDEO_CAPTURE: u32 = 0x0000_0001;
pub const CAP_STREAMING: u32 = 0x0400_0000;
pub const CAP_IO_MC: u32 = 0x2000_0000;
pub const CAP_DEVICE_CAPS: u32 = 0x8000_0000;
pub const FRMSIZE_TYPE_DISCRETE: u32 = 1;
pub const FRMIVAL_TYPE_DISCRETE: u32 = 1;
pub const BUF_FLAG_ERROR: u32 = 0x0000_0040;
pub const BUF_FLAG_TIMESTAMP_MASK: u32 = 0x0000_e000;
pub const BUF_FLAG_TIMESTAMP_MONOTONIC: u32 = 0x0000_2000;

/// Types that may be all zeros: integers, arrays of integers, and structs and unions of those.
pub trait Plain: Sized {}

pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` types are valid when all bytes are zero.
    unsafe { std::mem::zeroed() }
}

pub fn buffer(index: u32) -> Buffer {
    Buffer { index, type_: VIDEO_CAPTURE, memory: MEMORY_MMAP, ..zeroed() }
}

#[repr(C)]
pub struct Capability {
    pub driver: [u8; 16],
    pub card: [u8; 32],
    pub bus_info: [u8; 32],
    pub version: u32,
    pub capabilities: u32,
    pub device_caps: u32,
    pub reserved: [u32; 3],
}

#[repr(C)]
pub struct FmtDesc {
    pub index: u32,
    pub type_: u32,
    pub flags: u32,
    pub description: [u8; 32],
    pub pixelformat: u32,
    pub mbus_code: u32,
    pub reserved: [u32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PixFormat {
    pub width: u32,
    pub height: u32,
    pub pixelformat: u32,
    pub field: u32,
    pub bytesperline: u32,
    pub sizeimage: u32,
    pub colorspace: u32,
    pub private: u32,
    pub flags: u32,
    pub encoding: u32,
    pub quantization: u32,
    pub xfer_func: u32,
}

#[repr(C)]
pub struct FormatArg {
    pub type_: u32,
    pub fmt: FormatUnion,
}

#[repr(C)]
pub union FormatUnion {
    pub pix: PixFormat,
    /// 200 bytes, aligned like the pointers in the unused members.
    pub raw: [usize; 200 / size_of::<usize>()],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fraction {
    pub numerator: u32,
    pub denominator: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct CaptureParm {
    pub capability: u32,
    pub capturemode: u32,
    pub timeperframe: Fraction,
    pub extendedmode: u32,
    pub readbuffers: u32,
    pub reserved: [u32; 4],
}

#[repr(C)]
pub struct StreamParm {
    pub type_: u32,
    pub parm: ParmUnion,
}

#[repr(C)]
pub union ParmUnion {
    pub capture: CaptureParm,
    pub raw: [u8; 200],
}

#[repr(C)]
pub struct RequestBuffers {
    pub count: u32,
    pub type_: u32,
    pub memory: u32,
    pub capabilities: u32,
    pub flags: u8,
    pub reserved: [u8; 3],
}

#[repr(C)]
pub struct Buffer {
    pub index: u32,
    pub type_: u32,
    pub bytesused: u32,
    pub flags: u32,
    pub field: u32,
    pub timestamp: timeval,
    pub timecode: [u32; 4],
    pub sequence: u32,
    pub memory: u32,
    pub m: BufferUnion,
    pub length: u32,
    pub reserved2: u32,
    pub request_fd: i32,
}

#[repr(C)]
pub union BufferUnion {
    pub offset: u32,
    pub userptr: c_ulong,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrmSizeDiscrete {
    pub width: u32,
    pub height: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrmSizeStepwise {
    pub min_width: u32,
    pub max_width: u32,
    pub step_width: u32,
    pub min_height: u32,
    pub max_height: u32,
    pub step_height: u32,
}

#[repr(C)]
pub struct FrmSizeEnum {
    pub index: u32,
    pub pixel_format: u32,
    pub type_: u32,
    pub size: FrmSizeUnion,
    pub reserved: [u32; 2],
}

#[repr(C)]
pub union FrmSizeUnion {
    pub discrete: FrmSizeDiscrete,
    pub stepwise: FrmSizeStepwise,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrmIvalStepwise {
    pub min: Fraction,
    pub max: Fraction,
    pub step: Fraction,
}

#[repr(C)]
pub struct FrmIvalEnum {
    pub index: u32,
    pub pixel_format: u32,
    pub width: u32,
    pub height: u32,
    pub type_: u32,
    pub interval: FrmIvalUnion,
    pub reserved: [u32; 2],
}

#[repr(C)]
pub union FrmIvalUnion {
    pub discrete: Fraction,
    pub stepwise: FrmIvalStepwise,
}

impl Plain for Capability {}
impl Plain for FmtDesc {}
impl Plain for PixFormat {}
impl Plain for FormatArg {}
impl Plain for StreamParm {}
impl Plain for CaptureParm {}
impl Plain for RequestBuffers {}
impl Plain for Buffer {}
impl Plain for FrmSizeEnum {}
impl Plain for FrmIvalEnum {}

nix::ioctl_read!(querycap, b'V', 0, Capability);
nix::ioctl_readwrite!(enum_fmt, b'V', 2, FmtDesc);
nix::ioctl_readwrite!(s_fmt, b'V', 5, FormatArg);
nix::ioctl_readwrite!(reqbufs, b'V', 8, RequestBuffers);
nix::ioctl_readwrite!(querybuf, b'V', 9, Buffer);
nix::ioctl_readwrite!(qbuf, b'V', 15, Buffer);
nix::ioctl_readwrite!(dqbuf, b'V', 17, Buffer);
nix::ioctl_write_ptr!(streamon, b'V', 18, c_int);
nix::ioctl_write_ptr!(streamoff, b'V', 19, c_int);
nix::ioctl_readwrite!(s_parm, b'V', 22, StreamParm);
nix::ioctl_readwrite!(enum_framesizes, b'V', 74, FrmSizeEnum);
nix::ioctl_readwrite!(enum_frameintervals, b'V', 75, FrmIvalEnum);
