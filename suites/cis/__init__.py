"""Tests of the recommendations of the CIS Docker Benchmark for swarms: claims/cis.yaml."""
