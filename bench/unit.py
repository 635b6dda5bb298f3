# SPDX-License-Identifier: Apache-2.0
"""A C file of a given number of functions, the same one every time: what the gcc workload compiles, and what
bench/micro translates as cold code. Loops, switches, structures, bytes, words and doubles in changing order; it calls
nothing outside itself."""
import random
import sys

HEAD = """typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;
struct item { u64 key; u32 count; u32 next; double weight; u8 tag[8]; };
struct state { struct item item[64]; u64 word[64]; u8 text[256]; double x[16]; };
"""


def expression(r, depth=2):
    """Of a, b, c: u64."""
    if not depth or r.random() < 0.2:
        return r.choice(["a", "b", "c", str(r.randrange(1, 5000)), f"s->word[{r.randrange(64)}]"])
    left, right = expression(r, depth - 1), expression(r, depth - 1)
    return r.choice([f"({left} + {right})", f"({left} ^ {right})", f"({left} - {right})", f"({left} * {right})",
                     f"({left} >> {r.randrange(1, 31)})", f"({left} & ~{right})", f"({left} < {right} ? {right} : {left})",
                     f"({left} / ({right} % {r.randrange(3, 99)} + 1))"])


def search(r):
    return [f"for (u32 i = 0; i < {r.randrange(3, 9)}; i++) {{",
            "\tstruct item *t = &s->item[(a + i) & 63];",
            f"\tif (t->key > {expression(r, 1)})", f"\t\tt->count += {r.randrange(1, 9)}, b ^= t->key;",
            f"\telse if (t->tag[i & 7] == {r.randrange(256)})", "\t\tc += t->next;", "\telse",
            f"\t\tt->key = {expression(r, 1)};", "}"]


def switched(r):
    lines = [f"switch ({expression(r, 1)} & 7) {{"]
    for k in sorted(r.sample(range(8), 6)):
        lines += [f"case {k}: {r.choice('abc')} {r.choice(['+=', '^=', '-='])} {expression(r)}; break;"]
    return lines + [f"default: c = {expression(r, 1)};", "}"]


def text(r):
    return [f"for (u32 i = {r.randrange(64)}, n = 0; n < {r.randrange(4, 10)}; n++, i = (i * 5 + {r.randrange(1, 99)}) & 255) {{",
            f"\tu8 ch = s->text[i];", f"\tif (ch >= '0' && ch <= '{r.randrange(1, 10)}')", "\t\ta = a * 10 + ch - '0';",
            f"\telse if (ch == {r.randrange(32, 127)} || (ch | 32) == 'x')", "\t\tb++;", "\telse",
            f"\t\ts->text[i] = (u8)(ch + {r.randrange(1, 9)});", "}"]


def numbers(r):
    i, j, k = (r.randrange(16) for _ in range(3))
    return [f"s->x[{i}] = s->x[{j}] * {r.random():.4f} + (double)(a & 1023) / {r.randrange(2, 50)};",
            f"if (s->x[{i}] > {r.randrange(1, 1000)})", f"\ts->x[{k}] -= s->x[{i}];",
            f"c += (u64)(s->x[{k}] > 0 && s->x[{k}] < 1e6 ? s->x[{k}] : 1.0);"]


def words(r):
    return [f"{v} = {expression(r, 3)};" for v in r.sample("abc", 2)] + [f"s->word[{r.randrange(64)}] = {expression(r)};"]


def chain(r):
    i = r.randrange(64)
    return [f"if ({expression(r, 1)} > {expression(r, 1)}) {{", f"\ts->item[{i}].weight += {r.random():.3f};",
            f"\ts->item[{i}].next = (u32){expression(r)};", "} else {", f"\ta = {expression(r)};",
            f"\ts->item[{i}].key ^= b;", "}"]


PIECES = [search, switched, text, numbers, words, chain]


def function(r, n):
    lines = [f"__attribute__((noinline)) u64 unit_{n}(struct state *s, u64 a, u64 b)", "{", "\tu64 c = a ^ b;", ""]
    for piece in r.choices(PIECES, k=r.randrange(2, 6)):
        lines += ["\t" + line for line in piece(r)]
    if n > 8:
        lines += ["\tif (!(c & 15))", f"\t\tc += unit_{r.randrange(n - 8, n - 1)}(s, c >> 4, b);"]
    return "\n".join(lines + ["\treturn a + b + c;", "}", ""])


def source(functions, seed=1):
    r = random.Random(seed)
    parts = [HEAD] + [function(r, n) for n in range(functions)]
    calls = "".join(f"\tv = unit_{n}(s, v, {n});\n" for n in range(functions))
    return "\n".join(parts + ["u64 unit_all(struct state *s, u64 v)\n{\n" + calls + "\treturn v;\n}\n"])


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="ascii") as out:
        out.write(source(int(sys.argv[1])))
