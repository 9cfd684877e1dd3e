"""Checks the names of exported C sources."""

import re

# With the longest suffix in a source (a test counts), a name has at most 63 characters; compilers
# may ignore further ones.
LONGEST = 40

# Headers of compilers (GCC, Clang), of C libraries (glibc, musl, newlib, those of the BSDs and
# macOS), and of Windows. They #include each other, and would find the network's header instead.
HEADERS = frozenset(
    """
acc_prof aio aliases alloca altivec amo andes_vector apiset apisetcconv ar argp argz arm64intr
arm_acle arm_bf16 arm_cde arm_cmse arm_fp16 arm_mve arm_mve_types arm_neon arm_neon_sve_bridge
arm_sme arm_sve arm_vector_types armintr asr assert assertmacros atomic availability
availabilityinternal availabilityinternallegacy availabilitymacros availabilityversions
backtrace basetsd bcrypt bemapiset ber bitstring blf block bm bsd_auth builtins byteswap cdbr
cdbw cderr cet cguid combaseapi commdlg complex concurrencysal conditionalmacros conio
consoleapi consoleapi2 consoleapi3 copyfile corecrt corecrt_memory corecrt_startup
corecrt_stdio_config corecrt_wconio corecrt_wctype corecrt_wstdlib cpio cpuid crt_externs
crtdefs crypt ctype datetimeapi db dde ddeml debugapi devctl direct dirent disktab dlfcn dlgs
dpapi driverspecs elf elf_abi elfdefinitions endian envlock envz err errhandlingapi errno error
excpt execinfo exterr fastmath fcntl features fenv fibersapi fileapi float floatingpoint
fltwinerror fmtmsg fnmatch fpregdef fpu_control fstab fts fts_compat ftw gconv gcov gelf
gethostuuid getopt glob grp gshadow guiddef handleapi heapapi hesiod
hexagon_circ_brev_intrinsics hexagon_protos hexagon_types hvx_hexagon_protos icdb iconv ieee754
ieeefp ifaddrs imm imsg in6addr inaddr interlockedapi intrin intrin0 inttypes io ioapiset iso646
jobapi joystickapi kenv ktmtypes kvm langinfo lastlog launch lauxlib libelf libgen libintl
libloaderapi libproc libsys libutil limits link link_aout link_elf linker_set locale login_cap
lua luaconf lualib lwp lzexpand mactypes malloc malloc_np math mbstring mcheck mciapi mcx md2
md4 md5 memory memoryapi minwinbase minwindef mm3dnow mm_malloc mmeapi mmiscapi mmiscapi2
mmsyscom mmsystem mntent mntopts monetary mpool mqueue msa mstcpip msxml namedpipeapi
namespaceapi nb30 ncrypt ndbm netconfig netdb netgroup newlib nl_types nlist nss nsswitch oaidl
objbase objidl objidlbase obstack ohash ole ole2 oleauto oleidl omp openacc osreldate paths
picotls playsoundapi poll poppack printf proc_service process processenv processthreadsapi
processtopologyapi profileapi propidl prsht pshpack1 pshpack2 pshpack4 pshpack8 pthread
pthread_compat pthread_np pthread_queue pthread_signal pthread_time pthread_types pthread_unistd
ptrauth pty pwd qos quadmath quadmath_weak quota radius randomid ranlib re_comp readpassphrase
realtimeapiset reason reent regdef regex regexp res_update resolv riscv_bitmanip riscv_corev_alu
riscv_crypto riscv_mips riscv_nds riscv_ntlh riscv_vector rmd160 rmt rpc rpcasync rpcdce rpcdcep
rpcndr rpcnsi rpcnsip rpcnterr rpcsal runetype sal scarderr sched sdkddkver search
securityappcontainer securitybaseapi semaphore servprov setjmp setjmpex sgidefs sgtty sha1 sha2
shadow shellapi sifive_vector signal siphash sndio soundcard spawn specstrings stab stdalign
stdarg stdatomic stdbit stdbool stdckdint stdcountof stddef stddefer stdfix stdint stdio
stdio_ext stdlib stdmchar stdnoreturn stralign string stringapiset stringlist strings stropts
struct synchapi syscall sysexits sysinfoapi syslimits syslog systemtopologyapi tar
targetconditionals tchar termios tgmath thread_db threadpoolapiset threadpoollegacyapiset
threads tib time timeapi timeconv timers timezoneapi ttyent tvout tzfile uchar ucontext ulimit
unctrl unistd unknwn unknwnbase unwind urlmon usbhid util utilapiset utime utmp utmpx uuid
vadefs values varargs velintrin_approx velintrin_gen virtdisk vis wait wasm_simd128 wchar wctype
winapifamily winbase wincon wincontypes wincrypt windef windows winefs winerror wingdi winioctl
winnetwk winnls winnt winperf winreg winresrc winscard winsmcrd winsock winsock2 winspool winsvc
winuser winver wnnc wordexp wow64apiset ws2def ws2ipdef ws2tcpip wsipv6ok wspiapi wtypes
wtypesbase xlocale yvals_core zconf zlib
""".split()  # noqa: SIM905 - a list of strings would take a line for each
)
# Names that Windows treats as devices, with any extension.
DEVICES = re.compile("con|prn|aux|nul|(com|lpt)[0-9]")


def check_name(name):
    """Raise an error if a name is invalid, or its files or C names would collide with others."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, got {type(name).__name__}: {name!r}")
    small = name.lower()
    if not re.fullmatch("[A-Za-z](_?[A-Za-z0-9])*", name):
        raise ValueError(
            f"name {name!r} is no name for C: it must begin with a letter, and consist of letters, "
            "digits and single underscores between them"
        )
    if name != small:
        raise ValueError(
            f"name {name!r} has capitals: macros are always in capitals, and some file systems "
            "ignore the difference from small letters, so two networks could be mixed up; use "
            f"{small!r}"
        )
    if len(name) > LONGEST:
        raise ValueError(
            f"name {name!r} has {len(name)} characters, and may have {LONGEST}: C compilers may "
            "ignore the end of longer names; use a shorter one"
        )
    if name.endswith("_test"):
        raise ValueError(
            f"name {name!r} would make a file {name}.c, which is the test program of the network "
            f"{name.removesuffix('_test')!r}; use a name that does not end in _test"
        )
    if name in HEADERS or name.endswith("intrin"):
        raise ValueError(
            f"name {name!r} would make a file {name}.h, which is a header of C's own, of a "
            f"compiler or of an operating system; use another name, such as '{name}_net'"
        )
    if DEVICES.fullmatch(name):
        raise ValueError(
            f"name {name!r} would make a file {name}.h, which is a device on Windows; use another "
            f"name, such as '{name}_net'"
        )
