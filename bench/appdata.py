# SPDX-License-Identifier: Apache-2.0
"""What the `apps` workloads need: data to work on, and an initramfs with it and with Debian's programs, their shared
libraries and whatever else they open. Made once for a state of those packages and of this file; kept in the cache."""
import glob
import gzip
import hashlib
import inspect
import lzma
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import unit
from initramfs import read, write_initramfs

DATA = "bench/data"  # in the guest
PROGRAMS = ["busybox", "gzip", "xz", "openssl", "python3", "sqlite3", "lua5.4", "gcc", "as"]
PATH = "/usr/bin:/bin"
OLD = 7 * 86400  # seconds; another bench may still use what is younger

SHELL = r"""# a loop with words, arithmetic, functions and a few commands
n=$1 i=0 total=0
add() { total=$((total + $1 * 3 % 1000)); }
while [ $i -lt $n ]; do
	j=0
	for word in alpha beta gamma delta; do
		case $word in
		*a) add ${#word} ;;
		*) add $((i + j)) ;;
		esac
		j=$((j + 1))
	done
	line=$(echo "$i $total" | /bin/busybox sed 's/1/one/g')
	[ "$line" = "" ] || /bin/busybox expr length "$line"
	i=$((i + 1))
done
echo $total
"""

LOOPS = r"""import sys

class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def moved(self, d):
        return Point(self.x + d, self.y - d)

def sieve(n):
    flags = bytearray([1]) * (n + 1)
    for i in range(2, int(n ** 0.5) + 1):
        if flags[i]:
            flags[i * i::i] = bytes(len(range(i * i, n + 1, i)))
    return sum(flags) - 2

total, words = 0, {}
for r in range(int(sys.argv[1])):
    p = Point(r, 1)
    for i in range(300):
        p = p.moved(i % 7)
        key = "k%d" % (i * r % 97)
        words[key] = words.get(key, 0) + i
    total += p.x * p.y + sieve(500 + r) + sum(sorted(words.values())[::3])
print(total, len(words))
"""

FIB = r"""local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local total, t = 0, {}
for i = 1, tonumber(arg[1]) do
	total = total + fib(18)
	t[#t + 1] = string.format("%d:%d", i, total % 1000)
end
print(total, #table.concat(t, ","))
"""


def make_text(size):
    """Words and numbers, common ones more often."""
    r = random.Random(7)
    words = ["".join(r.choice("etaoinshrdlucmfw") for _ in range(r.randrange(2, 11))) for _ in range(4000)]
    weights = [1 / (i + 3) for i in range(len(words))]
    parts, length = [], 0
    while length < size:
        line = " ".join(r.choices(words, weights, k=12)) + f" {r.randrange(100000)}\n"
        parts.append(line)
        length += len(line)
    return "".join(parts)[:size].encode()


def make_inserts(count):
    r = random.Random(11)
    rows = (f"INSERT INTO t VALUES({i}, 'name{r.randrange(10 ** 6)}', {r.random():.6f});\n" for i in range(count))
    return ("PRAGMA synchronous=OFF;\nCREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);\n"
            "CREATE INDEX by_name ON t(name);\nBEGIN;\n" + "".join(rows) +
            "COMMIT;\nSELECT count(*), sum(value), min(name), max(name) FROM t;\n")


def make_data():
    """{name: contents}"""
    text = make_text(2 << 20)
    return {"text": text, "text.gz": gzip.compress(text, 6, mtime=0), "text.part": text[:768 << 10],
            "text.xz": lzma.compress(text), "shell.sh": SHELL.encode(), "loops.py": LOOPS.encode(),
            "fib.lua": FIB.encode(), "insert.sql": make_inserts(5000).encode(), "unit.i": unit.source(40).encode()}


# ---- programs and what they open ----------------------------------------------------------------

class Missing(Exception):
    pass


def output(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env={**os.environ, "PATH": PATH, "LC_ALL": "C"})
    return done.stdout


def libraries(program):
    """Paths as the program names them: the dynamic linker's among them."""
    return re.findall(r"(/\S+) \(0x", output("ldd", program))


def python_files():
    """The modules that a bare Python loads, compiled and not, and the landmarks by which it finds its library."""
    listing = output("python3", "-I", "-S", "-c", "import sys\nfor m in list(sys.modules.values()):\n"
                     " print(getattr(m, '__file__', None) or '', getattr(m, '__cached__', None) or '', sep='\\n')\n"
                     "import os\nprint(os.__file__)")
    return [f for f in listing.split("\n") if f and os.path.exists(f)]


def gcc_files():
    return [p for p in (output("gcc", f"-print-prog-name={n}").strip() for n in ("cc1", "as")) if os.path.isabs(p)]


def guest_files():
    """{path in the guest: path on the host}"""
    found = {p: shutil.which(p, path=PATH) for p in PROGRAMS}
    missing = [p for p, path in found.items() if not path]
    if missing:
        raise Missing(f"missing: {', '.join(missing)} (tools/deps bench)")
    programs = list(found.values()) + gcc_files()
    files = set(programs) | set(python_files())
    for program in programs:
        files.update(libraries(program))
    files.discard("/bin/busybox")
    out = {f: os.path.realpath(f) for f in sorted(files) if f != "/usr/bin/busybox"}
    out.update({f: f for f in ("/usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf") if os.path.isfile(f)})
    return out


def identity(files):
    facts = [f"{name} {os.stat(path).st_size} {os.stat(path).st_mtime_ns}" for name, path in files.items()]
    text = "\n".join(facts) + inspect.getsource(sys.modules[__name__]) + inspect.getsource(unit)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_folder():
    base = os.environ.get("KUSE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "kuse")
    return os.path.join(base, "bench")


def write(folder, files):
    data = make_data()
    os.mkdir(os.path.join(folder, "data"))
    for name, contents in data.items():
        with open(os.path.join(folder, "data", name), "wb") as f:
            f.write(contents)
    contents = {name.lstrip("/"): read(path) for name, path in files.items()}
    mtimes = {name.lstrip("/"): int(os.stat(path).st_mtime) for name, path in files.items()}
    mtimes.update({f"{DATA}/{name}": 1 for name in data})  # gzip warns of 0
    contents.update({f"{DATA}/{name}": c for name, c in data.items()})
    landmark = next(name for name in contents if name.endswith("/os.py"))
    contents[f"{os.path.dirname(landmark)}/lib-dynload/.keep"] = b""
    write_initramfs(os.path.join(folder, "apps.cpio"), contents, mtimes)


def prepare():
    """The folder with data/ and apps.cpio."""
    files = guest_files()
    base = cache_folder()
    folder = os.path.join(base, f"apps-{identity(files)}")
    if os.path.exists(folder):
        return folder
    os.makedirs(base, exist_ok=True)
    for old in glob.glob(os.path.join(base, "apps-*")):
        if os.stat(old).st_mtime < time.time() - OLD:
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=base) as work:
        new = os.path.join(work, "new")
        os.mkdir(new)
        write(new, files)
        os.rename(new, folder)
    return folder
