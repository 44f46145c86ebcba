"""The lab whose nodes are virtual machines that Vagrant makes."""
