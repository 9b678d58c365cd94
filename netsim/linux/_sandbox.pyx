"""The binding of csrc/sandbox: conversions only, and the calls without the GIL."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free


cdef extern from "sandbox/sandbox.h" nogil:
    enum:
        SANDBOX_FILES_MAX
        SANDBOX_SYSCTLS_MAX

    struct sandbox_text:
        const char *name
        const char *text

    struct sandbox_recipe:
        int net, uts
        const char *hostname
        sandbox_text *files
        sandbox_text *sysctls
        const char *tun
        uint32_t tun_index
        const void *requests
        size_t requests_bytes

    struct sandbox:
        int net, uts, mnt, tun
        int error
        const char *step
        const char *what
        size_t reply_bytes
        char *reply

    int sandbox_make(const sandbox_recipe *recipes, sandbox *made, size_t count, int home)


def make(list recipes, int home):
    """Sandboxes: (net, uts, mnt, tun, errno, step, what, reply), descriptors or an errno not 0.

    Recipes are (net, uts, hostname, files, sysctls, tun, tun_index, requests), all text as bytes;
    files and sysctls are (name, text) pairs. OSError: none could be begun.
    """
    cdef size_t count = len(recipes)
    cdef int error
    cdef sandbox_recipe *c_recipes = <sandbox_recipe *>calloc(count + 1, sizeof(sandbox_recipe))
    cdef sandbox *made = <sandbox *>calloc(count + 1, sizeof(sandbox))
    try:
        if c_recipes is NULL or made is NULL:
            raise MemoryError
        for i in range(count):
            convert(&c_recipes[i], recipes[i])
        with nogil:
            error = sandbox_make(c_recipes, made, count, home)
        if error < 0:
            raise OSError(-error, "no sandbox can be begun")
        return [outcome(&made[i]) for i in range(count)]
    finally:
        free(c_recipes)
        free(made)


cdef int convert(sandbox_recipe *to, tuple recipe) except -1:
    """Pointers into the recipe's bytes, which must outlive them."""
    cdef bytes hostname, tun, requests
    to.net, to.uts, hostname, files, sysctls, tun, to.tun_index, requests = recipe
    to.hostname = hostname
    to.tun = tun
    to.requests, to.requests_bytes = <const char *>requests, len(requests)
    convert_texts(to.files, SANDBOX_FILES_MAX, files)
    convert_texts(to.sysctls, SANDBOX_SYSCTLS_MAX, sysctls)
    return 0


cdef int convert_texts(sandbox_text *to, size_t room, tuple texts) except -1:
    cdef bytes name, text
    if len(texts) > room:
        raise ValueError(f"{len(texts)} texts for {room} places")
    for i, (name, text) in enumerate(texts):
        to[i].name, to[i].text = name, text
    return 0


cdef tuple outcome(const sandbox *made):
    what = made.what.decode() if made.what is not NULL else ""
    fds = made.net, made.uts, made.mnt, made.tun
    return *fds, -made.error, made.step.decode(), what, made.reply[:made.reply_bytes]
