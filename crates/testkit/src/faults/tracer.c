/* Runs a program and watches its system calls that change files below given
 * directories; counts them, lets the n-th fail or be its last, or logs them all.
 * Linux on x86-64. It stands between the program and the kernel (seccomp stops
 * the calls in question, ptrace answers them), so that whatever the program is
 * linked to, SQLite and raw system calls included, is seen.
 *
 *   tracer [OPTION]... -- PROGRAM [ARGUMENT]...
 *
 *   --under DIR      watch DIR, an absolute path, and what is in it (several are possible)
 *   --reads          also watch opening, reading and listing
 *   --fail N ERRNO   the N-th call (from 1) fails with that number, undone
 *   --from N ERRNO   the N-th and all later calls that need space fail so
 *   --kill N         SIGKILL instead of the N-th call
 *   --torn N         half of it if it writes, then SIGKILL
 *   --short N        only half of it if it writes, which is no error
 *   --hold N FIFO    before the N-th call, open FIFO and wait for its end
 *   --log FILE       append what was done, as lines; bytes go to FILE.data
 *   --report FILE    write "CALLS<tab>what the N-th was"
 *
 * It ends as the program ends: with its exit code, or by its signal. 125 means
 * that the tracer itself failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the tracer knows the system calls of x86-64 only"
#endif

#define FICLONE 0x40049409
#define FICLONERANGE 0x4020940d
#define PATH 8192
#define THREADS 1024

enum mode { COUNT, FAIL, FROM, KILL, TORN, SHORT, HOLD };

static const char *under[16];
static int unders;
static int reads;
static enum mode mode = COUNT;
static unsigned long wanted, calls;
static int error_number;
static const char *fifo, *report_file;
static FILE *lines, *data;
static char fired[2 * PATH + 64];
static pid_t main_pid;

static void die(const char *what) {
    fprintf(stderr, "tracer: %s: %s\n", what, strerror(errno));
    _exit(125);
}

/* ---- the call at hand ---- */

enum what {
    CHANGE_FD,   /* writes through a descriptor: length in the third argument */
    CHANGE_IOV,  /* the same, of several pieces */
    COPY,        /* the kernel copies into a descriptor */
    CLONE,       /* shares blocks */
    SYNC, SYNC_ALL,
    TRUNCATE, ALLOCATE,
    OPEN, RENAME, LINK, UNLINK, RMDIR, MKDIR, SYMLINK, TRUNCATE_PATH,
    MAP,
    READ_FD, READ_PATH
};

struct call {
    enum what what;
    const char *name;
    int fd;                /* for those of a descriptor */
    char path[PATH], second[PATH];
    int flags;             /* of an open */
    int existed;           /* before an open */
    int directory;
    int64_t offset;        /* -1: the descriptor's position */
    ino_t inode;
};

struct rule { long number; enum what what; const char *name; };

static const struct rule rules[] = {
    {SYS_write, CHANGE_FD, "write"}, {SYS_pwrite64, CHANGE_FD, "pwrite"},
    {SYS_writev, CHANGE_IOV, "writev"}, {SYS_pwritev, CHANGE_IOV, "pwritev"},
    {SYS_pwritev2, CHANGE_IOV, "pwritev2"},
    {SYS_copy_file_range, COPY, "copy_file_range"}, {SYS_sendfile, COPY, "sendfile"},
    {SYS_splice, COPY, "splice"}, {SYS_ioctl, CLONE, "clone"},
    {SYS_fsync, SYNC, "fsync"}, {SYS_fdatasync, SYNC, "fdatasync"},
    {SYS_syncfs, SYNC_ALL, "syncfs"},
    {SYS_ftruncate, TRUNCATE, "ftruncate"}, {SYS_fallocate, ALLOCATE, "fallocate"},
    {SYS_truncate, TRUNCATE_PATH, "truncate"},
    {SYS_open, OPEN, "open"}, {SYS_openat, OPEN, "openat"}, {SYS_creat, OPEN, "creat"},
    {SYS_openat2, OPEN, "openat2"},
    {SYS_rename, RENAME, "rename"}, {SYS_renameat, RENAME, "renameat"},
    {SYS_renameat2, RENAME, "renameat2"},
    {SYS_link, LINK, "link"}, {SYS_linkat, LINK, "linkat"},
    {SYS_unlink, UNLINK, "unlink"}, {SYS_unlinkat, UNLINK, "unlinkat"},
    {SYS_rmdir, RMDIR, "rmdir"}, {SYS_mkdir, MKDIR, "mkdir"}, {SYS_mkdirat, MKDIR, "mkdirat"},
    {SYS_symlink, SYMLINK, "symlink"}, {SYS_symlinkat, SYMLINK, "symlinkat"},
    {SYS_mmap, MAP, "mmap"},
    {SYS_read, READ_FD, "read"}, {SYS_pread64, READ_FD, "pread"},
    {SYS_readv, READ_FD, "readv"}, {SYS_preadv, READ_FD, "preadv"},
    {SYS_getdents64, READ_FD, "getdents"},
    {SYS_statx, READ_PATH, "statx"}, {SYS_newfstatat, READ_PATH, "stat"},
};
#define RULES ((int)(sizeof rules / sizeof *rules))

static int in_scope(const char *path) {
    for (int i = 0; i < unders; i++) {
        size_t length = strlen(under[i]);
        if (strncmp(path, under[i], length) == 0 && (path[length] == 0 || path[length] == '/'))
            return 1;
    }
    return 0;
}

static void read_link(char *into, const char *format, ...) {
    char name[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    ssize_t n = readlink(name, into, PATH - 1);
    into[n < 0 ? 0 : n] = 0;
}

static int copy_in(pid_t tid, unsigned long from, void *to, size_t length) {
    struct iovec local = {to, length}, remote = {(void *)from, length};
    return process_vm_readv(tid, &local, 1, &remote, 1, 0) == (ssize_t)length;
}

static void copy_text(pid_t tid, unsigned long from, char *to) {
    size_t n = 0;
    while (n < PATH - 1) {
        /* Never across the end of a page, after which nothing may be. */
        size_t piece = 4096 - ((from + n) & 4095);
        if (piece > PATH - 1 - n) piece = PATH - 1 - n;
        struct iovec local = {to + n, piece}, remote = {(void *)(from + n), piece};
        ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        if (got <= 0) break;
        if (memchr(to + n, 0, got)) return;
        n += got;
    }
    to[n] = 0;
}

/* The absolute path of `text`, without `.`, `..` and doubled slashes. */
static void resolve(pid_t tid, int dirfd, unsigned long text, char *into) {
    char given[PATH], joined[2 * PATH + 2];
    copy_text(tid, text, given);
    if (given[0] == '/') {
        snprintf(joined, sizeof joined, "%s", given);
    } else {
        char base[PATH];
        if (dirfd == AT_FDCWD) read_link(base, "/proc/%d/cwd", tid);
        else read_link(base, "/proc/%d/fd/%d", tid, dirfd);
        snprintf(joined, sizeof joined, "%s/%s", base, given);
    }
    size_t n = 0;
    for (char *part = strtok(joined, "/"); part; part = strtok(NULL, "/")) {
        if (strcmp(part, ".") == 0) continue;
        if (strcmp(part, "..") == 0) {
            while (n > 0 && into[--n] != '/') {}
            continue;
        }
        size_t length = strlen(part);
        if (n + length + 2 > PATH) break;
        into[n++] = '/';
        memcpy(into + n, part, length);
        n += length;
    }
    into[n] = 0;
}

/* Describes the call; 0 when it does not concern us. */
static int describe(pid_t tid, const struct user_regs_struct *regs, struct call *call) {
    const struct rule *rule = NULL;
    for (int i = 0; i < RULES; i++)
        if (rules[i].number == (long)regs->orig_rax) rule = &rules[i];
    if (!rule) return 0;
    unsigned long a = regs->rdi, b = regs->rsi, c = regs->rdx, d = regs->r10;
    memset(call, 0, offsetof(struct call, path));
    call->what = rule->what;
    call->name = rule->name;
    call->path[0] = call->second[0] = 0;
    call->flags = call->existed = call->directory = 0;
    call->offset = -1;
    call->inode = 0;
    call->fd = -1;
    switch (rule->what) {
    case CHANGE_FD: case CHANGE_IOV:
        call->fd = a;
        if (rule->number == SYS_pwrite64 || rule->number == SYS_pwritev) call->offset = d;
        if (rule->number == SYS_pwritev2) call->offset = (int64_t)d;
        break;
    case COPY:
        call->fd = rule->number == SYS_sendfile ? (int)a : (int)c;
        if (rule->number != SYS_sendfile && d && !copy_in(tid, d, &call->offset, 8)) return 0;
        break;
    case CLONE:
        if ((unsigned)b != FICLONE && (unsigned)b != FICLONERANGE) return 0;
        call->fd = a;
        break;
    case ALLOCATE:
        call->flags = b;
        call->fd = a;
        break;
    case SYNC: case SYNC_ALL:
        call->fd = a;
        break;
    case TRUNCATE:
        call->fd = a;
        call->offset = b;
        break;
    case MAP: /* (address, length, protection, flags, descriptor) */
        if (!(c & PROT_WRITE) || (d & MAP_TYPE) == MAP_PRIVATE || (d & MAP_ANONYMOUS)) return 0;
        call->fd = regs->r8;
        break;
    case READ_FD:
        if (!reads) return 0;
        call->fd = a;
        break;
    case READ_PATH:
        if (!reads) return 0;
        resolve(tid, a, b, call->path);
        break;
    case OPEN:
        if (rule->number == SYS_open) resolve(tid, AT_FDCWD, a, call->path), call->flags = b;
        else if (rule->number == SYS_creat)
            resolve(tid, AT_FDCWD, a, call->path), call->flags = O_CREAT | O_WRONLY | O_TRUNC;
        else {
            uint64_t flags = c;
            if (rule->number == SYS_openat2 && !copy_in(tid, c, &flags, 8)) return 0;
            resolve(tid, a, b, call->path);
            call->flags = flags;
        }
        if (!(call->flags & (O_CREAT | O_TRUNC)) && !reads) return 0;
        break;
    case RENAME:
        if (rule->number == SYS_rename)
            resolve(tid, AT_FDCWD, a, call->path), resolve(tid, AT_FDCWD, b, call->second);
        else resolve(tid, a, b, call->path), resolve(tid, c, d, call->second);
        break;
    case LINK:
        if (rule->number == SYS_link)
            resolve(tid, AT_FDCWD, a, call->path), resolve(tid, AT_FDCWD, b, call->second);
        else resolve(tid, a, b, call->path), resolve(tid, c, d, call->second);
        break;
    case UNLINK:
        if (rule->number == SYS_unlink) resolve(tid, AT_FDCWD, a, call->path);
        else resolve(tid, a, b, call->path), call->what = c & AT_REMOVEDIR ? RMDIR : UNLINK;
        break;
    case RMDIR: case TRUNCATE_PATH:
        resolve(tid, AT_FDCWD, a, call->path);
        break;
    case MKDIR:
        if (rule->number == SYS_mkdir) resolve(tid, AT_FDCWD, a, call->path);
        else resolve(tid, a, b, call->path);
        break;
    case SYMLINK:
        if (rule->number == SYS_symlink) resolve(tid, AT_FDCWD, b, call->path);
        else resolve(tid, b, c, call->path);
        break;
    }
    struct stat meta;
    if (call->fd >= 0) {
        char name[64];
        read_link(call->path, "/proc/%d/fd/%d", tid, call->fd);
        snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, call->fd);
        if (stat(name, &meta) == 0) call->inode = meta.st_ino, call->directory = S_ISDIR(meta.st_mode);
    } else if (lstat(call->path, &meta) == 0) {
        call->existed = 1;
        call->inode = meta.st_ino;
    }
    /* An index that SQLite shares between processes; never read after a crash. */
    size_t length = strlen(call->path);
    if (call->what == MAP && length > 4 && strcmp(call->path + length - 4, "-shm") == 0) return 0;
    return in_scope(call->path) || (call->second[0] && in_scope(call->second));
}

/* ---- the log ---- */

static void put_path(const char *path) {
    fputc('\t', lines);
    for (; *path; path++) {
        if (*path == '\t' || *path == '\n' || *path == '\\') fprintf(lines, "\\%02x", (unsigned char)*path);
        else fputc(*path, lines);
    }
}

/* `length` bytes of the call's file from `offset` on: as they are after it. */
static void put_bytes(pid_t tid, const struct call *call, int64_t offset, int64_t length) {
    static char buffer[1 << 16];
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, call->fd);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) die("cannot read what was written");
    fprintf(lines, "write\t%" PRIu64 "\t%" PRId64 "\t%" PRId64 "\t%ld\n", (uint64_t)call->inode,
            offset, length, ftell(data));
    while (length > 0) {
        ssize_t n = pread(fd, buffer, length > (int64_t)sizeof buffer ? (int64_t)sizeof buffer : length, offset);
        if (n <= 0) die("cannot read what was written");
        fwrite(buffer, 1, n, data);
        offset += n;
        length -= n;
    }
    close(fd);
}

static int64_t position(pid_t tid, int fd) {
    char name[64], line[128];
    int64_t at = -1;
    snprintf(name, sizeof name, "/proc/%d/fdinfo/%d", tid, fd);
    FILE *info = fopen(name, "re");
    if (!info) die("cannot ask for a position");
    if (!fgets(line, sizeof line, info) || sscanf(line, "pos: %" SCNd64, &at) != 1) die("no position");
    fclose(info);
    return at;
}

static void log_done(pid_t tid, const struct call *call, int64_t result) {
    if (!lines || result < 0) return;
    struct stat meta;
    switch (call->what) {
    case CHANGE_FD: case CHANGE_IOV: case COPY:
        if (result == 0) return;
        put_bytes(tid, call, call->offset >= 0 ? call->offset : position(tid, call->fd) - result, result);
        break;
    case CLONE: {
        char name[64];
        snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, call->fd);
        if (stat(name, &meta) != 0) die("cannot look at a clone");
        put_bytes(tid, call, 0, meta.st_size);
        break;
    }
    case TRUNCATE:
        fprintf(lines, "truncate\t%" PRIu64 "\t%" PRId64 "\n", (uint64_t)call->inode, call->offset);
        break;
    case SYNC:
        if (call->directory) fputs("sync-directory", lines), put_path(call->path), fputc('\n', lines);
        else fprintf(lines, "sync\t%" PRIu64 "\n", (uint64_t)call->inode);
        break;
    case SYNC_ALL:
        fputs("sync-all\n", lines);
        break;
    case OPEN:
        if (!call->existed && (call->flags & O_CREAT)) {
            if (lstat(call->path, &meta) != 0) die("cannot look at a new file");
            fprintf(lines, "create\t%" PRIu64, (uint64_t)meta.st_ino);
            put_path(call->path);
            fputc('\n', lines);
        } else if (call->existed && (call->flags & O_TRUNC)) {
            fprintf(lines, "truncate\t%" PRIu64 "\t0\n", (uint64_t)call->inode);
        }
        break;
    case RENAME: case LINK:
        fputs(call->what == RENAME ? "rename" : "link", lines);
        put_path(call->path), put_path(call->second), fputc('\n', lines);
        break;
    case UNLINK: fputs("unlink", lines), put_path(call->path), fputc('\n', lines); break;
    case RMDIR: fputs("rmdir", lines), put_path(call->path), fputc('\n', lines); break;
    case MKDIR: fputs("mkdir", lines), put_path(call->path), fputc('\n', lines); break;
    case READ_FD: case READ_PATH: break;
    case ALLOCATE:
        if ((call->flags & ~FALLOC_FL_KEEP_SIZE) == 0) {
            char name[64];
            snprintf(name, sizeof name, "/proc/%d/fd/%d", tid, call->fd);
            if (stat(name, &meta) != 0) die("cannot look at a file");
            fprintf(lines, "truncate\t%" PRIu64 "\t%" PRId64 "\n", (uint64_t)call->inode, (int64_t)meta.st_size);
            break;
        }
        /* fall through */
    case SYMLINK: case TRUNCATE_PATH: case MAP:
        fputs("unmodelled\t", lines), fputs(call->name, lines), put_path(call->path), fputc('\n', lines);
    }
}

/* ---- threads ---- */

struct thread { pid_t tid; int busy, new; };
static struct thread threads[THREADS];
static pid_t waiting[THREADS];
static int waiters, running; /* `running` is the thread whose call is under way */
static struct call current;
static int kill_after;

static struct thread *thread(pid_t tid) {
    struct thread *free = NULL;
    for (int i = 0; i < THREADS; i++) {
        if (threads[i].tid == tid) return &threads[i];
        if (!threads[i].tid && !free) free = &threads[i];
    }
    if (!free) die("too many threads");
    *free = (struct thread){tid, 0, 1};
    return free;
}

static void resume(pid_t tid, int how, int signal) {
    /* It may have been killed meanwhile; then its end is reported. */
    ptrace(how, tid, 0, (void *)(long)signal);
}

/* Half of a write: the length for one buffer, the pieces for several. */
static int halve(pid_t tid, const struct call *call, struct user_regs_struct *regs) {
    if (call->what == CHANGE_FD && regs->rdx > 1) regs->rdx /= 2;
    else if (call->what == CHANGE_IOV && regs->rdx > 1) regs->rdx /= 2;
    else return 0;
    return ptrace(PTRACE_SETREGS, tid, 0, regs) == 0;
}

static int needs_space(const struct call *call) {
    switch (call->what) {
    case CHANGE_FD: case CHANGE_IOV: case COPY: case ALLOCATE: case MKDIR: case LINK: case SYMLINK: return 1;
    case OPEN: return (call->flags & O_CREAT) && !call->existed;
    default: return 0;
    }
}

/* A thread stands before a call. */
static void enter(pid_t tid) {
    struct user_regs_struct regs;
    struct call call;
    if (ptrace(PTRACE_GETREGS, tid, 0, &regs) != 0) return;
    if (!describe(tid, &regs, &call)) {
        resume(tid, PTRACE_CONT, 0);
        return;
    }
    /* One at a time, so that the log is in the order in which things happened. */
    if (running) {
        if (waiters == THREADS) die("too many threads");
        waiting[waiters++] = tid;
        return;
    }
    calls++;
    int hit = calls == wanted;
    if (hit && mode != COUNT)
        snprintf(fired, sizeof fired, "%s %s%s%s", call.name, call.path, call.second[0] ? " -> " : "", call.second);
    if ((hit && mode == FAIL) || (mode == FROM && calls >= wanted && needs_space(&call))) {
        if (!fired[0]) snprintf(fired, sizeof fired, "%s %s", call.name, call.path);
        regs.orig_rax = -1;
        regs.rax = -error_number;
        if (ptrace(PTRACE_SETREGS, tid, 0, &regs) != 0) return;
        resume(tid, PTRACE_CONT, 0);
        return;
    }
    if (hit && (mode == KILL || (mode == TORN && !halve(tid, &call, &regs)))) {
        kill(main_pid, SIGKILL);
        return;
    }
    if (hit && mode == TORN) kill_after = 1;
    if (hit && mode == SHORT) halve(tid, &call, &regs);
    if (hit && mode == HOLD) {
        char byte;
        int gate = open(fifo, O_RDONLY | O_CLOEXEC);
        if (gate < 0) die(fifo);
        while (read(gate, &byte, 1) > 0) {}
        close(gate);
    }
    running = tid;
    current = call;
    resume(tid, PTRACE_SYSCALL, 0);
}

static void next(void) {
    running = 0;
    while (waiters > 0 && !running) {
        pid_t tid = waiting[0];
        memmove(waiting, waiting + 1, --waiters * sizeof *waiting);
        enter(tid);
    }
}

static void leave(pid_t tid) {
    struct user_regs_struct regs;
    if (tid != running) {
        resume(tid, PTRACE_CONT, 0);
        return;
    }
    if (ptrace(PTRACE_GETREGS, tid, 0, &regs) == 0) log_done(tid, &current, (int64_t)regs.rax);
    if (kill_after) {
        kill(main_pid, SIGKILL);
        return;
    }
    resume(tid, PTRACE_CONT, 0);
    next();
}

static void gone(pid_t tid) {
    thread(tid)->tid = 0;
    int kept = 0;
    for (int i = 0; i < waiters; i++)
        if (waiting[i] != tid) waiting[kept++] = waiting[i];
    waiters = kept;
    if (tid == running) next();
}

/* ---- beginning and end ---- */

static void filter_calls(void) {
    struct sock_filter code[2 * RULES + 8];
    int n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < RULES; i++) {
        int reading = rules[i].what == READ_FD || rules[i].what == READ_PATH;
        if ((reading && !reads) || (rules[i].what == MAP && !lines)) continue;
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rules[i].number, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {n, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) die("no_new_privs");
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) die("seccomp");
}

static char *real(const char *path) {
    char *found = realpath(path, NULL);
    if (found) return found;
    /* Not made yet: its parent is. */
    char parent[PATH];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent) {
        errno = EINVAL;
        die(path);
    }
    *slash = 0;
    char *above = realpath(parent, NULL), *joined = NULL;
    if (!above || asprintf(&joined, "%s/%s", above, slash + 1) < 0) die(path);
    return joined;
}

static const char *argument(int argc, char **argv, int *at) {
    if (++*at >= argc) {
        fprintf(stderr, "tracer: an option lacks its argument\n");
        exit(125);
    }
    return argv[*at];
}

static int options(int argc, char **argv) {
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        static const struct { const char *name; enum mode mode; } modes[] = {
            {"--fail", FAIL}, {"--from", FROM}, {"--kill", KILL},
            {"--torn", TORN}, {"--short", SHORT}, {"--hold", HOLD}};
        int known = 0;
        for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
            if (strcmp(argv[i], modes[m].name) != 0) continue;
            known = 1;
            mode = modes[m].mode;
            wanted = strtoul(argument(argc, argv, &i), NULL, 10);
            if (mode == FAIL || mode == FROM) error_number = atoi(argument(argc, argv, &i));
            if (mode == HOLD) fifo = argument(argc, argv, &i);
            break;
        }
        if (known) continue;
        if (strcmp(argv[i], "--under") == 0 && unders < 16) under[unders++] = real(argument(argc, argv, &i));
        else if (strcmp(argv[i], "--reads") == 0) reads = 1;
        else if (strcmp(argv[i], "--report") == 0) report_file = argument(argc, argv, &i);
        else if (strcmp(argv[i], "--log") == 0) {
            const char *name = argument(argc, argv, &i);
            char of_data[PATH];
            snprintf(of_data, sizeof of_data, "%s.data", name);
            lines = fopen(name, "ae");
            data = fopen(of_data, "ae");
            if (!lines || !data || fseek(data, 0, SEEK_END) != 0) die(name);
        } else {
            fprintf(stderr, "tracer: unknown option %s\n", argv[i]);
            exit(125);
        }
    }
    if (i + 1 >= argc) {
        fprintf(stderr, "tracer: no program\n");
        exit(125);
    }
    return i + 1;
}

static void report(void) {
    if (lines && (fclose(lines) != 0 || fclose(data) != 0)) die("log");
    if (!report_file) return;
    FILE *out = fopen(report_file, "we");
    if (!out || fprintf(out, "%lu\t%s\n", calls, fired) < 0 || fclose(out) != 0) die(report_file);
}

int main(int argc, char **argv) {
    int program = options(argc, argv);
    main_pid = fork();
    if (main_pid < 0) die("fork");
    if (main_pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) die("ptrace");
        raise(SIGSTOP);
        filter_calls();
        execvp(argv[program], argv + program);
        die(argv[program]);
    }
    int status;
    if (waitpid(main_pid, &status, __WALL) != main_pid || !WIFSTOPPED(status)) die("start");
    long wishes = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                  PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SETOPTIONS, main_pid, 0, (void *)wishes) != 0) die("ptrace");
    thread(main_pid)->new = 0;
    resume(main_pid, PTRACE_CONT, 0);
    for (;;) {
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0) {
            if (errno == EINTR) continue;
            die("wait");
        }
        if (WIFEXITED(status) || WIFSIGNALED(status)) {
            if (tid == main_pid) break;
            gone(tid);
            continue;
        }
        int signal = WSTOPSIG(status), event = status >> 16;
        if (event == PTRACE_EVENT_SECCOMP) enter(tid);
        else if (signal == (SIGTRAP | 0x80)) leave(tid);
        else if (event) resume(tid, PTRACE_CONT, 0);
        else if (signal == SIGSTOP && thread(tid)->new) {
            /* How a new thread or process announces itself. */
            thread(tid)->new = 0;
            resume(tid, PTRACE_CONT, 0);
        } else resume(tid, tid == running ? PTRACE_SYSCALL : PTRACE_CONT, signal);
    }
    report();
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    signal(WTERMSIG(status), SIG_DFL);
    raise(WTERMSIG(status));
    return 125;
}
