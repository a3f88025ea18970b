"""Talking: conversations, replies in the making, the engines that write them, and the policies that answer."""
