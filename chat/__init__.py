"""Chat: conversations, the replies to them, the engines that generate replies, and the policies that answer."""
