# SPDX-License-Identifier: Apache-2.0
"""Boards: what surrounds the card there, and what their tools need to build it."""
