#!/usr/bin/env python3
# Makes the decoder's tables from opcodes.def: gen.py opcodes.def ops.def OUT.
#
# Every slot of the opcode space (map, mandatory prefix, VEX.W, opcode, mod,
# reg, rm) gets a chain of rows, tried in order until one's conditions hold.
# Slots that agree are folded: a cell of the lookup table is a row, or a group
# of 16 by (mod == 3, reg), each of which is a row or a group of 8 by rm.
#
# SPDX-License-Identifier: GPL-2.0-or-later
import re
import sys

FEATURE = re.compile(r'^_?[A-Z][A-Z0-9_]*$')
PFX = {'NP': 0, '66': 1, 'F3': 2, 'F2': 3}
MAP = {'': 0, '0F': 1, '0F38': 2, '0F3A': 3}
FLAG = {'C': 'IF_CF', 'P': 'IF_PF', 'A': 'IF_AF', 'Z': 'IF_ZF',
        'S': 'IF_SF', 'O': 'IF_OF', 'D': 'IF_DF'}
SEGS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS']
WIDTH = {'b': 1, 'w': 2, 'd': 4, 'q': 8, 't': 10, 'ss': 4, 'sd': 8, 'dq': 16}
VECTOR_WIDTH = {'x': 'MS_SIZE', 'h': 'MS_HALF', 'f': 'MS_QUARTER',
                'e': 'MS_EIGHTH'}
CONDS = {'no64': 'C_NO64', 'o64': 'C_O64', 'prot': 'C_PROT', 'W0': 'C_W0',
         'W1': 'C_W1', 'noB': 'C_NOB', 'a64': 'C_A64'}
ATTRS = {'lock': 'A_LOCK', 'end': 'A_END', 'string': 'A_STRING',
         'cmpstring': 'A_CMPSTR', 'esstring': 'A_ES', 'nomod': 'A_NOMOD',
         'swap': 'A_SWAP', 'implicit': 'A_IMPLICIT'}
MEMORY = {'load': 'MEM_LOAD', 'store': 'MEM_STORE', 'rmw': 'MEM_RMW',
          'addr': 'MEM_ADDR'}
EMIT = {'copy': 'EMIT_COPY', 'special': 'EMIT_SPECIAL',
        'fallback': 'EMIT_FALLBACK'}
# What the memory operand's size is where it is not the instruction's `size`.
MEMSIZE = {'far': 'MS_FAR', 'dtr': 'MS_DTR', 'm2': 'MS_TWICE',
           'env': 'MS_ENV', 'ddup': 'MS_DDUP'}


class Bad(Exception):
    pass


class Row:
    """One line of opcodes.def."""

    def __init__(self, line, defaults):
        enc, self.op, opnds, *keys = line.split()
        self.enc = enc
        self.opnds = [] if opnds == '-' else opnds.split(',')
        keys = defaults + keys
        self.keys = {}
        for k in keys:
            name, _, val = k.partition('=')
            self.keys[name] = val
        self.feat = [k for k in self.keys if FEATURE.match(k)
                     and k not in ('W0', 'W1')]
        if 'AVX/2' in self.keys:
            self.feat.append('AVX/2')
        known = (set(CONDS) | set(ATTRS) | set(MEMORY) | set(EMIT)
                 | set(MEMSIZE) | {
                     'd64', 'f64', 'sz', 'm', 'al', 'unal', 'ronly', 'monly',
                     'aux', 'r', 'w', 'u', 'c', 'push', 'pop', 'bitmem'}
                 | set(self.feat))
        for k in self.keys:
            if k not in known:
                raise Bad(f'unknown key "{k}"')
        if len(self.feat) > 1:
            raise Bad('more than one feature')
        self.conds = {CONDS[k] for k in self.keys if k in CONDS}
        self.attrs = {ATTRS[k] for k in self.keys if k in ATTRS}
        self.aux = self.keys.get('aux', '0')
        if self.aux in SEGS:
            self.aux = 'SEG_' + self.aux
        self.parse_encoding(enc)
        self.parse_operands()
        self.find_size()
        self.find_memory()

    def parse_encoding(self, enc):
        m = re.match(r'^(?:VEX\.(?P<L>L|LIG|LZ|128|256)\.)?'
                     r'(?:(?P<pfx>NP|66|F3|F2)\.)?'
                     r'(?:(?P<map>0F|0F38|0F3A)\.)?'
                     r'(?:(?P<W>W0|W1|WIG|Wy)\.)?'
                     r'(?P<opc>[0-9A-F]{2})'
                     r'(?:\+(?P<plus>r|cc))?'
                     r'(?:/(?P<reg>[r0-7])|:(?P<modrm>[0-9A-F]{2}))?$', enc)
        if not m:
            raise Bad(f'bad encoding "{enc}"')
        self.vex = m['L'] is not None
        self.L = m['L']
        if self.vex and (not m['map'] or not m['pfx'] or not m['W']):
            raise Bad('VEX needs prefix, map and W')
        if self.L in ('LZ', '128'):
            self.conds.add('C_L0')
        elif self.L == '256':
            self.conds.add('C_L1')
        self.pfx = PFX[m['pfx']] if m['pfx'] else None
        self.map = MAP[m['map'] or '']
        self.W = {'W0': [0], 'W1': [1]}.get(m['W'], [0, 1])
        opc = int(m['opc'], 16)
        self.plus = m['plus']
        self.opcodes = range(opc, opc + {None: 1, 'r': 8, 'cc': 16}[self.plus])
        self.has_modrm = m['reg'] is not None or m['modrm'] is not None
        self.x87 = not self.map and not self.vex and 0xd8 <= opc <= 0xdf
        self.slots = set()
        if m['modrm']:
            byte = int(m['modrm'], 16)
            if byte < 0xc0:
                raise Bad('a memory ModRM')
            self.slots = {byte - 0xc0 + 64}
        elif self.has_modrm:
            regs = range(8) if m['reg'] == 'r' else [int(m['reg'])]
            self.slots = {mod * 64 + reg * 8 + rm for mod in (0, 1)
                          for reg in regs for rm in range(8)}
        else:
            self.slots = set(range(128))

    def parse_operands(self):
        self.reg, self.rm, self.imm = 'RK_NONE', 'MK_NONE', 'IM_NONE'
        self.kinds = []             # (OPD_*, width letter)
        reg_only, mem_only = 'ronly' in self.keys, 'monly' in self.keys
        vvvv = False
        for n, o in enumerate(self.opnds):
            c, w = o[0], o[1:]
            if o.startswith('seg'):
                self.reg, self.aux = 'RK_AUX', 'SEG_' + o[3:]
                kind, w = 'OPD_SEG', ''
            elif o in ('cl', 'dx', 'st0'):
                kind, w = 'OPD_' + o.upper(), ''
            elif o == 'st':
                self.rm, kind, w, reg_only = 'MK_LOW3', 'OPD_ST', '', True
            elif o == 'vm':
                self.rm, kind, mem_only = 'MK_VSIB', 'OPD_XRM', True
            elif c in 'EMR':
                self.rm = 'MK_GPR8' if w == 'b' and c != 'M' else 'MK_GPR'
                kind = 'OPD_RM'
                mem_only |= c == 'M'
                reg_only |= c == 'R'
            elif c in 'WU':
                self.rm, kind = 'MK_GPR', 'OPD_XRM'
                reg_only |= c == 'U'
            elif c in 'QN':
                self.rm, kind = 'MK_LOW3', 'OPD_PRM'
                reg_only |= c == 'N'
            elif c == 'G':
                self.reg = 'RK_GPR8' if w == 'b' else 'RK_GPR'
                kind = 'OPD_REG'
            elif c == 'V':
                self.reg, kind = 'RK_GPR', 'OPD_XREG'
            elif c == 'P':
                self.reg, kind = 'RK_LOW3', 'OPD_PREG'
            elif c in 'BH':
                vvvv = True
                if n == 0:
                    self.reg = 'RK_VVVV'
                    kind = {'B': 'OPD_REG', 'H': 'OPD_XREG'}[c]
                else:
                    kind = {'B': 'OPD_VREG', 'H': 'OPD_XV'}[c]
            elif c == 'L':
                self.imm, kind = 'IM_IS4', 'OPD_XIS4'
            elif c == 'a':
                self.rm, kind = 'MK_ZERO', 'OPD_RM'
            elif c == 'A':
                self.reg, kind = 'RK_ZERO', 'OPD_REG'
            elif c == 'Z':
                self.rm = 'MK_OPC8' if w == 'b' else 'MK_OPC'
                kind = 'OPD_RM'
            elif c == 'S':
                self.reg = 'RK_SEGW' if n == 0 else 'RK_SEG'
                kind = 'OPD_SEG'
            elif c == 'C':
                self.reg, kind = 'RK_CR', 'OPD_CR'
            elif c == 'D':
                self.reg, kind = 'RK_DR', 'OPD_DR'
            elif c == 'O':
                self.imm, self.rm = 'IM_MOFFS', 'MK_MOFFS'
                kind = 'OPD_MOFFS' if 'a64' in self.keys else 'OPD_RM'
            elif c == 'I':
                self.imm = {'b': 'IM_SB', 'u': 'IM_UB', 'w': 'IM_UW',
                            'z': 'IM_Z', 'v': 'IM_V', '1': 'IM_ONE',
                            'e': 'IM_ENTER'}[w]
                kind, w = 'OPD_IMM', ''
            elif c == 'J':
                self.imm = {'b': 'IM_SB', 'z': 'IM_Z'}[w]
                kind, w = 'OPD_REL', ''
            elif o == 'Fp':
                self.imm, kind, w = 'IM_FAR', 'OPD_FAR', ''
            else:
                raise Bad(f'bad operand "{o}"')
            self.kinds.append((kind, w))
        if 'swap' in self.keys:
            # Both are registers: the op's operands are in the other order.
            other = {'OPD_XRM': 'OPD_XREG', 'OPD_XREG': 'OPD_XRM'}
            self.kinds = [(other.get(k, k), w) for k, w in self.kinds]
        if self.x87:
            self.imm = 'IM_FOP'
        if self.has_modrm and self.rm == 'MK_NONE':
            self.rm = 'MK_GPR'
        if self.has_modrm:
            self.attrs.add('A_MODRM')
        if vvvv:
            self.attrs.add('A_VVVV')
        if self.vex:
            self.attrs.add('A_VEX')
        if mem_only:
            self.slots = {s for s in self.slots if s < 64}
        if reg_only and 'nomod' not in self.keys:
            self.slots = {s for s in self.slots if s >= 64}

    def find_size(self):
        letters = {o[0] for o in self.opnds if o not in ('cl', 'dx')}
        vector = letters & set('VWUHL') and not self.x87
        mmx = letters & set('PQN') and not self.x87
        y = any(o[0] in 'EG' and o[1:] == 'y' for o in self.opnds)
        sz = self.keys.get('sz')
        self.size_letter = sz
        if 'd64' in self.keys:
            self.size, self.size_letter = 'SZ_D64', 'v'
        elif 'f64' in self.keys:
            self.size, self.size_letter = 'SZ_F64', 'v'
        elif sz is not None:
            self.size = 'SZ_' + sz.upper()
        elif self.x87:
            w = self.opnds[0][1:] if self.opnds else ''
            self.size = ('SZ_%d' % WIDTH[w] if w in WIDTH
                         and self.opnds[0][0] == 'M' else 'SZ_0')
            self.size_letter = w
        elif y:
            self.size, self.size_letter = 'SZ_Y', 'y'
        elif vector:
            self.size = ('SZ_X' if not self.vex or self.L == 'LIG'
                         else 'SZ_VL')
        elif mmx:
            self.size = 'SZ_8'
        else:
            for o in self.opnds:
                if o[0] in 'EGMRBaAZO' and len(o) > 1 and o != 'Mdq':
                    self.size_letter = o[1:]
                    self.size = 'SZ_' + o[1:].upper()
                    break
            else:
                self.size = 'SZ_0'

    def width(self, w):
        """W_* of an operand: a fixed width, or the instruction's size."""
        if w == self.size_letter or w not in WIDTH:
            return ' | W_Z' if (w, self.size) == ('z', 'SZ_V') else ''
        return f' | W_{WIDTH[w]}'

    def find_memory(self):
        """The per-op facts: class, size, alignment of the memory operand."""
        self.mem, self.mem_size, self.align = 'MEM_NONE', 'MS_SIZE', '0'
        for n, o in enumerate(self.opnds):
            if o == 'vm':
                o = 'Mx'
            if o[0] not in 'EMWQZaO':
                continue
            c, w = o[0], o[1:]
            rmw = n == 0 and c not in 'WQ' and not self.x87
            self.mem = 'MEM_RMW' if rmw else 'MEM_LOAD'
            if w in VECTOR_WIDTH:
                self.mem_size = VECTOR_WIDTH[w]
            elif w == 'z' and self.size == 'SZ_V':
                self.mem_size = 'MS_Z'
            elif w in WIDTH and w != self.size_letter:
                self.mem_size = str(WIDTH[w])
            if w in ('x', 'dq') and not self.vex \
                    and {x[0] for x in self.opnds} & set('VP') \
                    and 'unal' not in self.keys:
                self.align = 'AL_SIZE'
        for k in self.keys:
            self.mem = MEMORY.get(k, self.mem)
            self.mem_size = MEMSIZE.get(k, self.mem_size)
        self.mem_size = self.keys.get('m') or self.mem_size
        if 'al' in self.keys:
            self.align = self.keys['al'] or 'AL_SIZE'

    def info(self):
        def mask(key):
            return ' | '.join(FLAG[c] for c in self.keys.get(key, '')) or '0'
        emit = [EMIT[k] for k in self.keys if k in EMIT]
        emit = emit[-1] if emit else 'EMIT_COPY'
        stack = ' | '.join(v for k, v in (('push', 'IS_PUSH'),
                                          ('pop', 'IS_POP'),
                                          ('implicit', 'IS_STRING'),
                                          ('bitmem', 'IS_BITMEM'))
                           if k in self.keys) or '0'
        kinds = [k + self.width(w) for k, w in self.kinds]
        return (mask('r'), mask('w'), mask('c'), mask('u'), self.mem,
                self.mem_size, self.align, emit, stack, ', '.join(kinds))

    def encoding(self):
        """How the translator writes it again: see InsnEnc."""
        ext = 'ENC_NO_EXT'
        if self.has_modrm and self.enc[-2:-1] == '/' and self.enc[-1] != 'r':
            ext = self.enc[-1]
        flags = ['ENC_VEX'] if self.vex else []
        if self.vex and self.W == [1]:
            flags.append('ENC_W1')
        if self.size == 'SZ_Y' or self.keys.get('sz') == 'y':
            flags.append('ENC_WY')
        return (str(self.map), str(self.pfx or 0),
                f'0x{self.opcodes[0]:02x}', ext, ' | '.join(flags) or '0')

    def conditional(self):
        return bool(self.conds or self.feat)

    def emit(self, alt, opcode):
        feat, conds = '0', set(self.conds)
        if self.feat:
            feat = f'FEAT_{self.feat[0]} + 1'
        if self.vex and self.feat and self.feat[0] not in (
                'AVX', 'BMI1', 'BMI2'):
            conds.add('C_AVX')
        aux = str(opcode & 15) if self.plus == 'cc' else self.aux
        return (f'OP_{self.op}', str(alt), feat,
                ' | '.join(sorted(conds)) or '0',
                ' | '.join(sorted(self.attrs)) or '0',
                self.size, self.imm, self.reg, self.rm, aux)


def expand(line, defaults):
    """AVX/2: 128 bits need AVX, 256 bits need AVX2."""
    if 'AVX/2' in line.split():
        for length, feat in (('128', 'AVX'), ('256', 'AVX2')):
            yield Row(line.replace('VEX.L.', f'VEX.{length}.')
                      .replace('AVX/2', feat), defaults)
    else:
        yield Row(line, defaults)


def read_rows(path):
    defaults, rows = [], []
    for n, line in enumerate(open(path), 1):
        line = line.split('#')[0].strip()
        if not line:
            continue
        try:
            if line[0] == '%':
                defaults = line[1:].split()
            else:
                for row in expand(line, defaults):
                    row.where = f'{path}:{n}'
                    rows.append(row)
        except (Bad, KeyError, ValueError) as e:
            sys.exit(f'{path}:{n}: {e}: {line}')
    return rows


def merge_infos(rows, ops):
    """What is said of an op must not depend on the encoding."""
    infos = {}
    for row in rows:
        if row.op == 'UD':
            continue
        if row.op not in ops:
            sys.exit(f'{row.where}: OP({row.op}) is not in ops.def')
        info = row.info()
        old, where, _ = infos.setdefault(row.op,
                                         (info, row.where, row.encoding()))
        if old != info:
            sys.exit(f'{row.where}: {row.op} differs from {where}:\n'
                     f'  {info}\n  {old}')
    for op in ops:
        if op != 'UD' and op not in infos:
            sys.exit(f'opcodes.def: no encoding makes OP({op})')
    return infos


class Tables:
    def __init__(self, rows):
        self.rows = [('OP_UD', '0', '0', '0', '0', 'SZ_0', 'IM_NONE',
                      'RK_NONE', 'MK_NONE', '0')]
        self.row_no = {self.rows[0]: 0}
        self.groups, self.group_no = [], {}
        self.rm_groups, self.rm_group_no = [], {}
        self.cells = [0] * (4096 + 6144)
        space = {}
        for row in rows:
            for opcode in row.opcodes:
                for cell in self.cells_of(row, opcode):
                    space.setdefault((cell, opcode), []).append(row)
        for (cell, opcode), here in space.items():
            self.cells[cell] = self.cell(here, opcode)

    @staticmethod
    def cells_of(row, opcode):
        for pfx in range(4) if row.pfx is None else [row.pfx]:
            if row.vex:
                for w in row.W:
                    yield 4096 + (((row.map - 1) * 2 + w) * 4 + pfx) * 256 \
                        + opcode
            else:
                yield (row.map * 4 + pfx) * 256 + opcode

    def cell(self, rows, opcode):
        """Rows of one cell: those with an explicit prefix come first."""
        rows = sorted(rows, key=lambda r: r.pfx is None)
        slots = []
        for s in range(128):
            chain = []
            for r in rows:
                if s not in r.slots:
                    continue
                if chain and not chain[-1].conditional():
                    if chain[-1].pfx is not None and r.pfx is None:
                        break
                    sys.exit(f'{r.where}: hidden by {chain[-1].where}')
                chain.append(r)
            slots.append(self.chain(chain, opcode))
        if len(set(slots)) == 1 and not slots[0] & 0x8000:
            return slots[0]
        group = tuple(self.by_rm(slots[i * 8:i * 8 + 8]) for i in range(16))
        if group not in self.group_no:
            self.group_no[group] = len(self.groups)
            self.groups.append(group)
        return 0x8000 | self.group_no[group]

    def chain(self, chain, opcode):
        n = 0
        for r in reversed(chain):
            row = r.emit(n, opcode)
            if row not in self.row_no:
                self.row_no[row] = len(self.rows)
                self.rows.append(row)
            n = self.row_no[row]
        return n

    def by_rm(self, eight):
        if len(set(eight)) == 1:
            return eight[0]
        group = tuple(eight)
        if group not in self.rm_group_no:
            self.rm_group_no[group] = len(self.rm_groups)
            self.rm_groups.append(group)
        return 0x8000 | self.rm_group_no[group]


def write(path, t, infos, ops):
    def numbers(f, values, per=12):
        for i in range(0, len(values), per):
            f.write('    ' + ', '.join(map(str, values[i:i + per])) + ',\n')
    with open(path, 'w') as f:
        f.write('/* Made by gen.py from opcodes.def. */\n'
                '#include "accel/tcg/decode/tables.h"\n\n')
        f.write(f'const DecodeRow decode_rows[{len(t.rows)}] = {{\n')
        for r in t.rows:
            f.write('    { ' + ', '.join(r) + ' },\n')
        f.write(f'}};\n\nconst unsigned decode_n_rows = {len(t.rows)};\n')
        f.write(f'\nconst uint16_t decode_cells[{len(t.cells)}] = {{\n')
        numbers(f, t.cells)
        f.write(f'}};\n\nconst uint16_t decode_groups[{len(t.groups)}][16]'
                ' = {\n')
        for g in t.groups:
            f.write('    { ' + ', '.join(map(str, g)) + ' },\n')
        f.write('};\n\nconst uint16_t decode_rm_groups'
                f'[{len(t.rm_groups)}][8] = {{\n')
        for g in t.rm_groups:
            f.write('    { ' + ', '.join(map(str, g)) + ' },\n')
        f.write('};\n\nconst InsnInfo decode_infos[N_OPS] = {\n')
        for op in ops:
            if op in infos:
                i = infos[op][0]
                f.write(f'    [OP_{op}] = {{ {", ".join(i[:-1])},\n'
                        f'        {{ {i[-1] or "0"} }} }},\n')
        f.write('};\n\nconst InsnEnc decode_encs[N_OPS] = {\n')
        for op in ops:
            if op in infos:
                f.write(f'    [OP_{op}] = {{ {", ".join(infos[op][2])} }},\n')
        f.write('};\n')


def main():
    ops = re.findall(r'^OP\((\w+)\)', open(sys.argv[2]).read(), re.M)
    rows = read_rows(sys.argv[1])
    infos = merge_infos(rows, set(ops))
    write(sys.argv[3], Tables(rows), infos, ops)


main()
