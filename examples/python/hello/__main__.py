from inflection import titleize

print(titleize('hello from the runtime image'))
