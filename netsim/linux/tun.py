"""Owns opening TUN devices the way the data plane reads them.

Every device has a virtio-net header of 10 bytes and takes TCP super-packets with partial checksums;
UDP ones too where the kernel can (6.2). The device appears in the namespace of the calling thread
at the time of the call and is marked persistent: closing the last descriptor of a device that is
not costs 30 ms each, one after the other (500 pods: 15 s), while devices left to their namespace
are taken down by the kernel in one batch. No device outlives its lab: the namespaces are anonymous.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from netsim.linux import syscalls

TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOFFLOAD = 0x400454D0
TUNSETVNETHDRSZ = 0x400454D8
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_USO4, TUN_F_USO6 = 0x01, 0x02, 0x20, 0x40

OFFLOADS = TUN_F_CSUM | TUN_F_TSO4
USO = TUN_F_USO4 | TUN_F_USO6  # the kernel accepts these two together only
VNET_HDR_BYTES = 10


def open_tun(name: str) -> int:
    """A new TUN device called `name` and its non-blocking descriptor.

    OSError EBUSY if the name is taken, ENOENT or EPERM if /dev/net/tun is not usable.
    """
    fd = syscalls.open_quick("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        syscalls.ioctl_quick(fd, TUNSETVNETHDRSZ, struct.pack("i", VNET_HDR_BYTES), name)
        if not takes_uso(fd):
            syscalls.ioctl_quick(fd, TUNSETOFFLOAD, OFFLOADS, name)
        syscalls.ioctl_quick(fd, TUNSETPERSIST, 1, name)
    except OSError as error:
        os.close(fd)
        raise OSError(error.errno, os.strerror(error.errno or 0), f"TUN {name}") from None
    return fd


def takes_uso(fd: int) -> bool:
    """Turn all offloads on, if the device takes UDP super-packets too; whether it does."""
    try:
        syscalls.ioctl_quick(fd, TUNSETOFFLOAD, OFFLOADS | USO, "TUNSETOFFLOAD")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True
