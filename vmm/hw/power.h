/* SPDX-License-Identifier: Apache-2.0 */
/* Where the FADT finds the power registers. */
#ifndef KUSE_VMM_HW_POWER_H
#define KUSE_VMM_HW_POWER_H

#define POWER_PM1A_EVENT 0x600u /* status and enable, 2 bytes each */
#define POWER_PM1A_CONTROL 0x604u
#define POWER_RESET 0xcf9u
#define POWER_RESET_VALUE 0x06u
#define POWER_SLP_TYP_S5 5u
#define POWER_SCI 9u

#endif
